// SPDX-License-Identifier: Apache-2.0
// The lanes of this translation unit's instruction set, in the vocabulary of functor.h's Scalar.
#pragma once
#include "pydiffcore/functor.h"
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace pdc {
namespace PDC_TARGET {

struct Lanes {
#if defined(__AVX512F__)
  static constexpr int bytes = 64;
#elif defined(__AVX2__)
  static constexpr int bytes = 32;
#else
  static constexpr int bytes = 16;
#endif
  static constexpr int words = bytes / 4;   // 32-bit lanes of one vector
  static constexpr int blocks = bytes / 8;  // Philox blocks of one vector
  typedef float F __attribute__((vector_size(bytes)));
  typedef int32_t I __attribute__((vector_size(bytes)));
  typedef uint32_t U __attribute__((vector_size(bytes)));
  typedef uint64_t W __attribute__((vector_size(bytes)));

  PDC_HD F set(float c) { return c - F{}; }
  PDC_HD W set_word(uint64_t c) { return c - W{}; }
  PDC_HD I as_signed(U u) { return (I)u; }
  PDC_HD F to_float(I i) { return __builtin_convertvector(i, F); }
  PDC_HD U bits(F x) { return (U)x; }
  PDC_HD F float_of(U u) { return (F)u; }

  // choose: by one bit of each lane's word. join: low halves of a and b as neighbouring 32-bit
  // lanes.
#if defined(__AVX512F__)
  PDC_HD F choose(U word, uint32_t bit, F yes, F no) {
    const __mmask16 set = _mm512_test_epi32_mask((__m512i)word, _mm512_set1_epi32(bit));
    return (F)_mm512_mask_blend_ps(set, (__m512)no, (__m512)yes);
  }
  PDC_HD U join(W a, W b) { return (U)_mm512_mask_moveldup_ps((__m512)a, 0xAAAA, (__m512)b); }
  PDC_HD F root(F x) { return (F)_mm512_sqrt_ps((__m512)x); }
  PDC_HD W multiply(W a, uint32_t b) {
    return (W)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
  }
#elif defined(__AVX2__)
  // A blend reads the sign of a lane.
  PDC_HD F choose(U word, uint32_t bit, F yes, F no) {
    return (F)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)(word * (0x80000000u / bit)));
  }
  PDC_HD U join(W a, W b) { return (U)_mm256_blend_epi32((__m256i)a, (__m256i)(b << 32), 0xAA); }
  PDC_HD F root(F x) { return (F)_mm256_sqrt_ps((__m256)x); }
  PDC_HD W multiply(W a, uint32_t b) {
    return (W)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
  }
#elif defined(__x86_64__)
  PDC_HD F root(F x) { return (F)_mm_sqrt_ps((__m128)x); }
  PDC_HD W multiply(W a, uint32_t b) { return (W)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b)); }
#elif defined(__aarch64__)
  PDC_HD F root(F x) { return (F)vsqrtq_f32((float32x4_t)x); }
  PDC_HD W multiply(W a, uint32_t b) { return (W)vmull_n_u32(vmovn_u64((uint64x2_t)a), b); }
#else
  PDC_HD F root(F x) {
    for (int i = 0; i < words; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
  }
  PDC_HD W multiply(W a, uint32_t b) { return (a & 0xFFFFFFFFull) * uint64_t{b}; }
#endif

#if !defined(__AVX2__)
  PDC_HD F choose(U word, uint32_t bit, F yes, F no) { return (word & bit) != 0 ? yes : no; }
  PDC_HD U join(W a, W b) { return (U)((a & 0xFFFFFFFFull) | (b << 32)); }
#endif

  template <class V, class E>
  PDC_HD V load(const E* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  template <class V, class E>
  PDC_HD void store(E* to, V v) {
    __builtin_memcpy(to, &v, sizeof v);
  }
  // even0 odd0 even1 odd1 …
  PDC_HD void store_interleaved(float* to, F even, F odd) {
#if defined(__AVX512F__)
    store(to, __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                      23));
    store(to + 16, __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                           14, 30, 15, 31));
#elif defined(__AVX2__)
    store(to, __builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11));
    store(to + 8, __builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15));
#else
    store(to, __builtin_shufflevector(even, odd, 0, 4, 1, 5));
    store(to + 4, __builtin_shufflevector(even, odd, 2, 6, 3, 7));
#endif
  }
};

}  // namespace PDC_TARGET
}  // namespace pdc
