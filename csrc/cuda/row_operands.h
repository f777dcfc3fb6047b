// SPDX-License-Identifier: Apache-2.0
// The operands of a row, a quad at a time: registers, the network's output, draws.
#pragma once
#include "channels.h"
#include "pydiffcore/row.h"
#include "segments.h"

namespace pdc {
namespace PDC_TARGET {

// T: state, E: network. Planes whose addresses stay in machine registers, and whether the
// coefficients do.
template <int K, class T>
constexpr int kNear = K * sizeof(T) > 16 ? 1 : K;
template <int K, class T>
constexpr bool kHeld = K * sizeof(T) == 4;

// What each quad asks of its row, read before the quads and at once: a small launch's time is that
// of loads which wait for each other.
template <int K, class T>
struct Held {
  int in, out, draws;
  bool clips;
  T *source[kNear<K, T>], *target[kNear<K, T>];
  T c_in;
  T empty;  // a sum without a term: -0, to which any first term is added as it is
  T A, f;   // if kHeld, of the single register; others are read where they are used
};

template <int K, class T>
PDC_HD Held<K, T> held_of(const RowLaunch& l, const Row<T>& row) {
  Held<K, T> h;
  h.in = constant(&row.registers_in);
  h.out = constant(&row.registers_out);
  h.draws = constant(&row.draws);
  h.clips = constant(&row.clipped) && l.F;
  h.c_in = constant(&row.c_in);
  h.empty = l.F || h.draws ? -0.0f : 0.0f;
  h.A = constant(&row.A[0][0]);
  h.f = constant(&row.f[0]);
  h.source[0] = h.target[0] = static_cast<T*>(l.state);  // register 0 is always in plane 0
  PDC_UNROLL
  for (int k = 1; k < kNear<K, T>; ++k) {
    h.source[k] = h.source[0] + constant(&row.source[k]) * l.plane;
    h.target[k] = h.target[0] + constant(&row.target[k]) * l.plane;
  }
  return h;
}

template <int K, class T>
PDC_HD T* plane(const RowLaunch& l, T* const (&near)[kNear<K, T>], const int32_t* planes, int k) {
  return k < kNear<K, T> ? near[k] : near[0] + constant(planes + k) * l.plane;
}

template <class T>
PDC_HD void add_term(T c, const Quad<T>& x, Quad<T>* sum) {
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) sum->v[i] = add(sum->v[i], mul(c, x.v[i]));
}

template <int K, class T>
PDC_HD void mix_registers(const Row<T>& row, const Held<K, T>& h, const Quad<T> (&old)[K],
                          Quad<T> (&next)[K]) {
  PDC_UNROLL
  for (int j = 0; j < K; ++j) {
    next[j] = {h.empty, h.empty, h.empty, h.empty};
    if ((j > 0 && j >= h.out) || h.in == 0) continue;
    PDC_UNROLL
    for (int k = 0; k < K; ++k) {
      if (k > 0 && k >= h.in) continue;
      const T A = kHeld<K, T> ? h.A : constant(&row.A[j][k]);
      PDC_UNROLL
      for (int i = 0; i < 4; ++i) {
        const T term = mul(A, old[k].v[i]);
        next[j].v[i] = k == 0 ? term : add(next[j].v[i], term);
      }
    }
  }
}

// What the network gave for a quad, as it is in memory.
template <class T, class E>
struct Output {
  Quad<E> F, unconditional;
  T weight;
};

// place, here and below: a Place, a Part or a Spread.
template <class T, class E, class Where>
PDC_HD Output<T, E> load_output(const RowLaunch& l, int64_t row, int64_t sample,
                                const Where& place) {
  Output<T, E> output;
  output.F = load(static_cast<const E*>(l.F), place);
  if (!l.unconditional) return output;
  output.unconditional = load(static_cast<const E*>(l.unconditional), place);
  output.weight = constant(static_cast<const T*>(l.guidance) + row * l.guidance_row +
                           sample * l.guidance_sample);
  return output;
}
template <class T, class E>
PDC_HD Quad<T> guided(const RowLaunch& l, const Output<T, E>& output) {
  Quad<T> F = widen<T>(output.F);
  if (!l.unconditional) return F;
  const Quad<T> u = widen<T>(output.unconditional);
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) F.v[i] = guide(F.v[i], u.v[i], output.weight);
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
  Quad<T> z;
  if (l.noise)
    z = load(static_cast<const T*>(l.noise) + m * l.plane, place);
  else
    z = widen<T>(normal_quad(constant(l.seeds + at.sample), constant(&row.purpose[m]),
                             constant(&row.stream[m]), at.quad));
  if (l.scale) {
    const Quad<T> scale = load(static_cast<const T*>(l.scale) + m * l.plane, place);
    PDC_UNROLL
    for (int i = 0; i < 4; ++i) z.v[i] = mul(scale.v[i], z.v[i]);
  }
  return z;
}

}  // namespace PDC_TARGET
}  // namespace pdc
