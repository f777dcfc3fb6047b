// SPDX-License-Identifier: Apache-2.0
// Training corruption of one element: input = p x0 + q z, target = u x0 + v z with coefficients of
// the sample.
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

struct Corruption {
  float p, q, u, v;
};

PDC_HD float corrupted_input(const Corruption& c, float x0, float z) {
  return add(mul(c.p, x0), mul(c.q, z));
}
PDC_HD float training_target(const Corruption& c, float x0, float z) {
  return add(mul(c.u, x0), mul(c.v, z));
}

}  // namespace PDC_TARGET
}  // namespace pdc
