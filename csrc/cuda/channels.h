// SPDX-License-Identifier: Apache-2.0
// A quad of the network's tensors where these have their channels last: element c P + p of a sample
// lies at p C + c.
#pragma once
#include "quads.h"

namespace pdc {
namespace PDC_TARGET {

struct Spread {
  int64_t sample;  // its first element's index in the batch
  uint32_t at[4];
  int n;
};

// The quad that a thread takes in place of another: neighbours then have the channels of the same
// four pixels, and read and write whole cache lines together.
PDC_HD Cursor across(const RowLaunch& l, Cursor at) {
  if (l.pixels % 4) return at;
  const uint32_t i = static_cast<uint32_t>(at.quad), four = i / l.channels;
  const int64_t quad = static_cast<int64_t>(i - four * l.channels) * (l.pixels / 4) + four;
  return {at.sample, quad, at.flat + 4 * (quad - at.quad)};
}

PDC_HD Spread spread_of(const RowLaunch& l, Cursor at, int n) {
  const uint32_t element = 4 * static_cast<uint32_t>(at.quad);
  uint32_t channel = element / l.pixels, pixel = element - channel * l.pixels;
  Spread s = {at.sample * l.grid.size, {}, n};
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) {
    s.at[i] = pixel * l.channels + channel;
    if (++pixel == l.pixels) {
      pixel = 0;
      ++channel;
    }
  }
  return s;
}

template <class E>
PDC_HD Quad<E> load(const E* tensor, const Spread& s) {
  const E* const from = tensor + s.sample;
  Quad<E> q = {};
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < s.n) q.v[i] = from[s.at[i]];
  return q;
}
template <class E>
PDC_HD void store(E* tensor, const Quad<E>& q, const Spread& s) {
  E* const to = tensor + s.sample;
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < s.n) to[s.at[i]] = q.v[i];
}

}  // namespace PDC_TARGET
}  // namespace pdc
