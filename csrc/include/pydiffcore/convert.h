// SPDX-License-Identifier: Apache-2.0
// Memory types: bfloat16 and float16 exist only at load and store. Conversions round to nearest
// even; they use integers, so that flush-to-zero modes cannot touch subnormal halves. A device has
// instructions without such a mode; they give the same bits, but one NaN for all.
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};

PDC_HD float to_float(float x) { return x; }
PDC_HD float to_float(double x) { return static_cast<float>(x); }
#ifdef __CUDA_ARCH__
// The moves keep pairs together: the compiler would take each half out of its word to shift it.
PDC_HD float to_float(bfloat16 x) {
  float wide;
  asm("mov.b32 %0, {0, %1};" : "=f"(wide) : "h"(x.bits));
  return wide;
}
PDC_HD float to_float(float16 x) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
  return wide;
}
#else
PDC_HD float to_float(bfloat16 x) { return Scalar::float_of(static_cast<uint32_t>(x.bits) << 16); }
PDC_HD float to_float(float16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16, rest = x.bits & 0x7FFFu;
  // Subnormal halves: rest * 2^-24 is exact and normal in float32.
  const float small = mul(static_cast<float>(static_cast<int32_t>(rest)), 0x1p-24f);
  const uint32_t normal = (rest << 13) + (112u << 23), special = (rest << 13) + (224u << 23);
  const uint32_t large = rest >= 0x7C00u ? special : normal;
  return Scalar::float_of(sign | (rest < 0x0400u ? Scalar::bits(small) : large));
}
#endif
// A pixel as data: pixel / 127.5 - 1.
PDC_HD float to_float(uint8_t pixel) {
  return add(mul(static_cast<float>(static_cast<int32_t>(pixel)), 0x1.010102p-7f), -1.0f);
}

PDC_HD void from_float(float x, float* out) { *out = x; }
PDC_HD void from_float(float x, double* out) { *out = x; }
#ifdef __CUDA_ARCH__
PDC_HD void from_float(float x, bfloat16* out) {
  const uint32_t u = Scalar::bits(x), rounded = u + 0x7FFFu + ((u >> 16) & 1u);
  asm("{.reg .b16 low; mov.b32 {low, %0}, %1;}"
      : "=h"(out->bits)
      : "r"(x == x ? rounded : ~0u >> 1));
}
PDC_HD void from_float(float x, float16* out) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out->bits) : "f"(x));
}
#else
PDC_HD void from_float(float x, bfloat16* out) {
  const uint32_t u = Scalar::bits(x), rounded = (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;
  out->bits = static_cast<uint16_t>((u & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}
PDC_HD void from_float(float x, float16* out) {
  const uint32_t u = Scalar::bits(x), sign = (u >> 16) & 0x8000u, rest = u & 0x7FFFFFFFu;
  const uint32_t normal = (rest - (112u << 23) + 0xFFFu + ((rest >> 13) & 1u)) >> 13;
  // Below 2^-14 adding 1/2 leaves the half's bits, rounded, at the end of the sum's mantissa.
  const uint32_t small = Scalar::bits(add(Scalar::float_of(rest), 0.5f)) - 0x3F000000u;
  const uint32_t special = rest > 0x7F800000u ? 0x7E00u : 0x7C00u;
  const uint32_t finite = rest < (113u << 23) ? small : normal;
  out->bits = static_cast<uint16_t>(sign | (rest >= 0x477FF000u ? special : finite));
}
#endif

}  // namespace PDC_TARGET
}  // namespace pdc
