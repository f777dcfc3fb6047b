// SPDX-License-Identifier: Apache-2.0
// What the element functors are written in: plain inline functions that a CPU target, a CUDA kernel
// and a CUDA kernel run on the host compile to the same IEEE operations. Each including translation
// unit names its target in PDC_TARGET, and everything lives in that namespace: a shared inline
// function compiled for AVX-512 must never be the copy the linker keeps for an older machine.
#pragma once
#include <stdint.h>

#ifndef PDC_TARGET
#error \
    "define PDC_TARGET (the namespace of this translation unit) before including pydiffcore headers"
#endif
#ifdef __FAST_MATH__
#error "fast-math changes the bits of the noise; build without it"
#endif

#ifdef __CUDACC__
#define PDC_HD static __host__ __device__ __forceinline__
#else
#define PDC_HD static inline __attribute__((always_inline))
#endif

namespace pdc {
namespace PDC_TARGET {

constexpr int kMaxRegisters = 8;
constexpr int kMaxDraws = 8;

// mul and add round once each and are never contracted to fma. V: scalar or lanes.
template <class V>
PDC_HD V mul(V a, V b) {
  return a * b;
}
template <class V>
PDC_HD V add(V a, V b) {
  return a + b;
}
#ifdef __CUDA_ARCH__
PDC_HD float mul(float a, float b) { return __fmul_rn(a, b); }
PDC_HD float add(float a, float b) { return __fadd_rn(a, b); }
PDC_HD double mul(double a, double b) { return __dmul_rn(a, b); }
PDC_HD double add(double a, double b) { return __dadd_rn(a, b); }
#endif

// One lane: what the vector types of the CPU targets generalise (cpu/lanes.h).
struct Scalar {
  using F = float;
  using I = int32_t;
  using U = uint32_t;
  using W = uint64_t;
  PDC_HD F set(float c) { return c; }
#ifdef __CUDA_ARCH__
  // The compiler would multiply 64 by 64 bits.
  PDC_HD W multiply(W a, uint32_t b) {
    W product;
    asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(static_cast<uint32_t>(a)), "r"(b));
    return product;
  }
#else
  PDC_HD W multiply(W a, uint32_t b) { return static_cast<uint64_t>(static_cast<uint32_t>(a)) * b; }
#endif
  PDC_HD I as_signed(U u) { return static_cast<I>(u); }
  PDC_HD F to_float(I i) { return static_cast<float>(i); }
  PDC_HD F choose(U word, uint32_t bit, F yes, F no) { return word & bit ? yes : no; }
#ifdef __CUDA_ARCH__
  PDC_HD F root(F x) { return __fsqrt_rn(x); }
  PDC_HD U bits(F x) { return __float_as_uint(x); }
  PDC_HD F float_of(U u) { return __uint_as_float(u); }
#else
  PDC_HD F root(F x) { return __builtin_sqrtf(x); }
  PDC_HD U bits(F x) {
    U u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
  }
  PDC_HD F float_of(U u) {
    F x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
  }
#endif
};

}  // namespace PDC_TARGET
}  // namespace pdc
