// SPDX-License-Identifier: Apache-2.0
// The operands of a row, a quad at a time: registers, the network's output, draws.
#pragma once
#include "channels.h"
#include "pydiffcore/row.h"
#include "segments.h"

namespace pdc {
namespace PDC_TARGET {

// T: state, E: network. A quad in machine registers: what is read, then what will be written.
template <int K, class T>
struct Registers {
  Quad<T> old[K], next[K];
};

template <int K, class T>
PDC_HD void add_registers(const Row<T>& row, int in, int out, Registers<K, T>* r) {
  PDC_UNROLL
  for (int j = 0; j < K; ++j) {
    r->next[j] = {};
    if (j < out && in > 0) {
      PDC_UNROLL
      for (int k = 0; k < K; ++k) {
        if (k >= in) continue;
        const T A = constant(&row.A[j][k]);
        PDC_UNROLL
        for (int i = 0; i < 4; ++i) {
          const T term = mul(A, r->old[k].v[i]);
          r->next[j].v[i] = k == 0 ? term : add(r->next[j].v[i], term);
        }
      }
    }
  }
}

// Adds c_j x to each register; begins the sum with it where there is no term yet.
template <int K, class T>
PDC_HD void add_operand(const T* c, int stride, const Quad<T>& x, bool begins, int out,
                        Registers<K, T>* r) {
  PDC_UNROLL
  for (int j = 0; j < K; ++j) {
    if (j >= out) continue;
    const T g = constant(c + j * stride);
    PDC_UNROLL
    for (int i = 0; i < 4; ++i) {
      const T term = mul(g, x.v[i]);
      r->next[j].v[i] = begins ? term : add(r->next[j].v[i], term);
    }
  }
}

// place, here and below: a Place, a Part or a Spread.
template <class T, class E, class Where>
PDC_HD Quad<T> network_output(const RowLaunch& l, int64_t row, int64_t sample, const Where& place) {
  const Quad<E> raw = load(static_cast<const E*>(l.F), place);
  if (!l.unconditional) return widen<T>(raw);
  const Quad<T> u = widen<T>(load(static_cast<const E*>(l.unconditional), place));
  const T w = constant(static_cast<const T*>(l.guidance) + row * l.guidance_row +
                       sample * l.guidance_sample);
  Quad<T> F = widen<T>(raw);
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) F.v[i] = guide(F.v[i], u.v[i], w);
  return F;
}

// Remembers the first row at which a sample's F was not finite. Threads that race here write the
// same number, or, where its parts are at rows of their own, that of any of these.
template <class T>
PDC_HD void check_output(const RowLaunch& l, int64_t row, int64_t sample, const Quad<T>& F, int n) {
  decltype(not_finite(T())) bad = 0;
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < n) bad |= not_finite(F.v[i]);
  if (bad && l.first_bad[sample] == 0) l.first_bad[sample] = static_cast<int32_t>(row + 1);
}

template <class T, class Where>
PDC_HD Quad<T> draw(const RowLaunch& l, const Row<T>& row, int m, Cursor at, const Where& place) {
  if (l.noise) {
    return load(static_cast<const T*>(l.noise) + m * l.plane, place);
  }
  return widen<T>(normal_quad(constant(l.seeds + at.sample), constant(&row.purpose[m]),
                              constant(&row.stream[m]), at.quad));
}

template <class T, class Where>
PDC_HD void scale_draw(const RowLaunch& l, int m, const Where& place, Quad<T>* z) {
  const Quad<T> scale = load(static_cast<const T*>(l.scale) + m * l.plane, place);
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) z->v[i] = mul(scale.v[i], z->v[i]);
}

}  // namespace PDC_TARGET
}  // namespace pdc
