// SPDX-License-Identifier: Apache-2.0
// The squared error of one element, its gradient, and the order in which a sample's are added up:
// a function of the number of elements alone, so that every machine has the same bits.
//
// A sample is cut into chunks of kChunk elements, a chunk into kLanes sums of every kLanes-th
// element; lanes are added by halves. Chunks' sums are added in float64 the same way.
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

constexpr int kChunk = 1024, kLanes = 32;

PDC_HD float squared_error(float F, float target) {
  const float e = add(F, -target);
  return mul(e, e);
}
PDC_HD float squared_gradient(float F, float target, float scale) {
  return mul(add(F, -target), scale);
}

// Adds the upper half of the lanes to the lower one, and so on. Of n < kLanes values the lanes
// beyond are 0, which adding would leave as it is.
template <class T>
PDC_HD T halved(T* lanes, int64_t n) {
  int half = kLanes / 2;
  while (half >= n && half > 0) half /= 2;
  for (; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lanes[l] = add(lanes[l], lanes[l + half]);
  return lanes[0];
}

// The sum of n values, which value(i) returns.
template <class Value>
PDC_HD double sum_of(int64_t n, Value value) {
  double lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i % kLanes] = add(lanes[i % kLanes], value(i));
  return halved(lanes, n);
}

}  // namespace PDC_TARGET
}  // namespace pdc
