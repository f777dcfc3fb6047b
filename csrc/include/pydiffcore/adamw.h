// SPDX-License-Identifier: Apache-2.0
// One step of AdamW on one weight, and of an average of it. Source: Loshchilov & Hutter 2019
// (arXiv 1711.05101), Algorithm 2.
//
//     m = m + (1 − beta1) (g − m)        v = beta2 v + (1 − beta2) g²        g: times clip
//     w = (1 − lr lambda) w − lr/(1 − beta1^t) m/(sqrt(v)/sqrt(1 − beta2^t) + eps)
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

// Numbers of a step, one value or a vector of it: 1 − lr lambda, 1 − beta1, …, in the order of the
// formulas.
template <class V>
struct AdamW {
  V clip, decay, towards_first, beta2, towards_second, rate, root, eps;
};

template <class T>
PDC_HD void adamw(const AdamW<typename T::F>& s, typename T::F gradient, typename T::F* w,
                  typename T::F* m, typename T::F* v) {
  const typename T::F g = mul(gradient, s.clip);
  *m = add(*m, mul(s.towards_first, add(g, -*m)));
  *v = add(mul(s.beta2, *v), mul(s.towards_second, mul(g, g)));
  const typename T::F denominator = add(T::root(*v) / s.root, s.eps);
  *w = add(mul(s.decay, *w), -mul(s.rate, *m / denominator));
}

// beta average + (1 − beta) w, exactly w where beta is 0 and the average where it is 1.
template <class V>
PDC_HD V averaged(V average, V w, V beta, V towards, bool near) {
  const V way = add(w, -average);
  return near ? add(average, mul(towards, way)) : add(w, -mul(beta, way));
}

}  // namespace PDC_TARGET
}  // namespace pdc
