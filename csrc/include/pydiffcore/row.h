// SPDX-License-Identifier: Apache-2.0
// One row of a plan, element by element. T is the state's type; every product and sum rounds once,
// terms are added left to right, so that all targets agree to the bit:
//   F      = u + w (c - u)                                   guided rows
//   Dc     = clamp(c_skip reg_0 + c_out F, low, high)        clipped rows
//   reg'_j = A_j0 reg_0 + A_j1 reg_1 + … + f_j F + d_j Dc + S_j0 z_0 + S_j1 z_1 + …
//            with each z_m times its factors, element by element, where there are any
//   input' = c_in reg'_0
// reg_k is the plane source[k] of the state, reg'_j goes to the plane target[j]; other planes stay.
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

template <class T>
struct Row {
  int32_t registers_in, registers_out, draws;
  int32_t clipped;
  int32_t source[kMaxRegisters], target[kMaxRegisters];  // planes of reg_k, of reg'_j
  T A[kMaxRegisters][kMaxRegisters];
  T f[kMaxRegisters];
  T d[kMaxRegisters];
  T S[kMaxRegisters][kMaxDraws];
  T c_skip, c_out, low, high;
  T c_in;  // 0: this row writes no input
  uint32_t stream[kMaxDraws];
  uint32_t purpose[kMaxDraws];
};

template <class T>
PDC_HD T guide(T conditional, T unconditional, T w) {
  return add(unconditional, mul(w, add(conditional, -unconditional)));
}

// NaN passes through.
template <class T>
PDC_HD T clipped(T query, T F, const Row<T>& row) {
  T D = add(mul(row.c_skip, query), mul(row.c_out, F));
  D = D < row.low ? row.low : D;
  return D > row.high ? row.high : D;
}

// reg'_j of a row with KIN registers in and EXTRA further operands (Dc first, then the draws),
// whose coefficients are handed over compacted.
template <int KIN, int EXTRA, class T>
PDC_HD T combine(const T* A, T f, const T* g, const T* reg, T F, const T* extra) {
  T sum = mul(A[0], reg[0]);
#pragma GCC unroll 8
  for (int k = 1; k < KIN; ++k) sum = add(sum, mul(A[k], reg[k]));
  sum = add(sum, mul(f, F));
#pragma GCC unroll 8
  for (int m = 0; m < EXTRA; ++m) sum = add(sum, mul(g[m], extra[m]));
  return sum;
}

#ifdef __CUDA_ARCH__
PDC_HD bool not_finite(float F) { return !(fabsf(F) < INFINITY); }
#else
PDC_HD uint32_t not_finite(float F) {
  return ((Scalar::bits(F) & 0x7FFFFFFFu) + 0x00800000u) & 0x80000000u;
}
#endif
PDC_HD uint64_t not_finite(double F) {
#ifdef __CUDA_ARCH__
  const uint64_t bits = __double_as_longlong(F);
#else
  uint64_t bits;
  __builtin_memcpy(&bits, &F, sizeof bits);
#endif
  return ((bits & 0x7FFFFFFFFFFFFFFFull) + 0x0010000000000000ull) & 0x8000000000000000ull;
}

}  // namespace PDC_TARGET
}  // namespace pdc
