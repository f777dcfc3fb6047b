// SPDX-License-Identifier: Apache-2.0
// A quad, or the part of it that lies in one segment of a sample.
#pragma once
#include "quads.h"

namespace pdc {
namespace PDC_TARGET {

struct Part {
  int64_t flat;  // the quad's first element's index in the batch
  int begin, n;  // its elements [begin, n)
  bool whole;    // all four, and aligned
};

template <class E>
PDC_HD Quad<E> load(const E* tensor, const Part& part) {
  const E* const from = tensor + part.flat;
  if (part.whole) return load_whole(from);
  Quad<E> q = {};
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i >= part.begin && i < part.n) q.v[i] = from[i];
  return q;
}
template <class E>
PDC_HD void store(E* tensor, const Quad<E>& q, const Part& part) {
  E* const to = tensor + part.flat;
  if (part.whole) return store_whole(to, q);
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i >= part.begin && i < part.n) to[i] = q.v[i];
}

}  // namespace PDC_TARGET
}  // namespace pdc
