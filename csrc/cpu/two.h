// SPDX-License-Identifier: Apache-2.0
// Two vectors at a time, in the vocabulary of functor.h's Scalar: the operations of one fill the
// waits of the other.
#pragma once
#include "lanes.h"

namespace pdc {
namespace PDC_TARGET {

template <class V>
struct Two {
  V a, b;
};

template <class V>
PDC_HD Two<V> operator+(Two<V> x, Two<V> y) {
  return {x.a + y.a, x.b + y.b};
}
template <class V>
PDC_HD Two<V> operator-(Two<V> x, Two<V> y) {
  return {x.a - y.a, x.b - y.b};
}
template <class V>
PDC_HD Two<V> operator*(Two<V> x, Two<V> y) {
  return {x.a * y.a, x.b * y.b};
}
template <class V>
PDC_HD Two<V> operator^(Two<V> x, Two<V> y) {
  return {x.a ^ y.a, x.b ^ y.b};
}
template <class V>
PDC_HD Two<V> operator+(Two<V> x, uint32_t y) {
  return {x.a + y, x.b + y};
}
template <class V>
PDC_HD Two<V> operator-(Two<V> x, uint32_t y) {
  return {x.a - y, x.b - y};
}
template <class V>
PDC_HD Two<V> operator&(Two<V> x, uint32_t y) {
  return {x.a & y, x.b & y};
}
template <class V>
PDC_HD Two<V> operator|(Two<V> x, uint32_t y) {
  return {x.a | y, x.b | y};
}
template <class V>
PDC_HD Two<V> operator>>(Two<V> x, int bits) {
  return {x.a >> bits, x.b >> bits};
}

struct TwoLanes {
  using F = Two<Lanes::F>;
  using I = Two<Lanes::I>;
  using U = Two<Lanes::U>;

  PDC_HD F set(float c) { return {Lanes::set(c), Lanes::set(c)}; }
  PDC_HD I as_signed(U u) { return {Lanes::as_signed(u.a), Lanes::as_signed(u.b)}; }
  PDC_HD F to_float(I i) { return {Lanes::to_float(i.a), Lanes::to_float(i.b)}; }
  PDC_HD F root(F x) { return {Lanes::root(x.a), Lanes::root(x.b)}; }
  PDC_HD U bits(F x) { return {Lanes::bits(x.a), Lanes::bits(x.b)}; }
  PDC_HD F float_of(U u) { return {Lanes::float_of(u.a), Lanes::float_of(u.b)}; }
  PDC_HD F choose(U word, uint32_t bit, F yes, F no) {
    return {Lanes::choose(word.a, bit, yes.a, no.a), Lanes::choose(word.b, bit, yes.b, no.b)};
  }
};

}  // namespace PDC_TARGET
}  // namespace pdc
