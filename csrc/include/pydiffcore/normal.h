// SPDX-License-Identifier: Apache-2.0
// Unit normals from words by Box-Muller: z_even = r cos(theta), z_odd = r sin(theta),
// r = sqrt(-2 log u), with u from the first word and theta from the second.
// Only IEEE add, mul, sqrt and integer operations, so that every target returns the same bits. No
// intermediate is subnormal: flush-to-zero changes nothing.
#pragma once
#include "philox.h"

namespace pdc {
namespace PDC_TARGET {

template <class V>
PDC_HD V horner(V, V c) {
  return c;
}
template <class V, class... Rest>
PDC_HD V horner(V x, V c, V next, Rest... rest) {
  return add(c, mul(x, horner(x, next, rest...)));
}

// sqrt(-2 log u), u = (word + 1/2) / 2^32 rounded once to float32: the halves of the word convert
// exactly as signed integers. u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), the division by
// 2^32 being taken off the exponent; the polynomial is -2 log(1 + f) / f. Words from 2^32 - 128 on
// round to u = 1 and give 0.
template <class L>
PDC_HD typename L::F radius(typename L::U word) {
  using F = typename L::F;
  using I = typename L::I;
  using U = typename L::U;
#ifdef __CUDA_ARCH__
  // The halves as the last bits of 2^39 and of 2^23: exact too, without conversions, of which a
  // device makes half as many at a time.
  const F high = add(L::float_of(0x53000000u + (word >> 16)), -0x1p39f);
  const F low_and_half = add(L::float_of(0x4B000000u + (word & 0xFFFFu)), 0.5f - 0x1p23f);
  const F v = add(high, low_and_half);
#else
  const F high = L::to_float((I)(word >> 16)), low = L::to_float((I)(word & 0xFFFFu));
  const F v = add(mul(high, L::set(65536.0f)), add(low, L::set(0.5f)));
#endif
  const uint32_t root_half = 0x3F3504F3u;
  const U offset = L::bits(v) - (root_half + (32u << 23));
  const F e = L::to_float(((I)offset) >> 23);
  const F f = add(L::float_of((offset & 0x007FFFFFu) + root_half), L::set(-1.0f));
  const F q = horner(f, L::set(-2.0f), L::set(0x1.fffffap-1f), L::set(-0x1.5556fp-1f),
                     L::set(0x1.0004a6p-1f), L::set(-0x1.98d39ap-2f), L::set(0x1.535c98p-2f),
                     L::set(-0x1.317d6cp-2f), L::set(0x1.2502ccp-2f), L::set(-0x1.65e53ap-3f));
  return L::root(add(mul(f, q), mul(e, L::set(-0x1.62e43p+0f))));
}

template <class F>
struct Pair {
  F even, odd;
};

// The pair of normals of two words. theta = word * 2 pi / 2^32 is taken to the nearest quarter turn
// plus a remainder t * pi/4, t in [-1, 1); the quarter swaps and signs sin and cos of the
// remainder.
template <class L>
PDC_HD Pair<typename L::F> box_muller(typename L::U radius_word, typename L::U angle_word) {
  using F = typename L::F;
  using I = typename L::I;
  using U = typename L::U;
  const U turn = angle_word + 0x20000000u;
  const F t = mul(L::to_float((I)(angle_word - (turn & 0xC0000000u))), L::set(0x1p-29f));
  const F t2 = mul(t, t);
  const F sine = mul(t, horner(t2, L::set(0x1.921fb6p-1f), L::set(-0x1.4abc24p-4f),
                               L::set(0x1.4680a4p-9f), L::set(-0x1.33199p-15f)));
  const F cosine = horner(t2, L::set(1.0f), L::set(-0x1.3bd39cp-2f), L::set(0x1.03b058p-6f),
                          L::set(-0x1.4e78bep-12f));
  const I odd_quarter = (I)(turn & 0x40000000u);
  const F r = radius<L>(radius_word);
  const F x = mul(r, L::choose(odd_quarter, sine, cosine));
  const F y = mul(r, L::choose(odd_quarter, cosine, sine));
  return {L::float_of(L::bits(x) ^ ((turn + 0x40000000u) & 0x80000000u)),
          L::float_of(L::bits(y) ^ (turn & 0x80000000u))};
}

// Element e of the sample with this seed, one at a time.
PDC_HD float normal(uint64_t seed, uint32_t purpose, uint32_t stream, uint64_t e) {
  const Words<uint64_t> w = philox_block(e >> 2, seed, stream, purpose);
  const bool second = e & 2;
  const Pair<float> z = box_muller<Scalar>(static_cast<uint32_t>(second ? w.w2 : w.w0),
                                           static_cast<uint32_t>(second ? w.w3 : w.w1));
  return e & 1 ? z.odd : z.even;
}

}  // namespace PDC_TARGET
}  // namespace pdc
