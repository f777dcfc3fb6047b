// SPDX-License-Identifier: Apache-2.0
// One row of a program, as each thread of a launch runs it. K bounds the registers, so that all of
// them stay in machine registers; everything else a row may do is a branch that all threads take
// alike.
#pragma once
#include "row_operands.h"

namespace pdc {
namespace PDC_TARGET {

PDC_HD int64_t row_index(const RowLaunch& l) { return l.row < 0 ? l.counter->row : l.row; }

// The terms of the registers, of the network's output and of what the plan clips it to.
template <int K, class T, class E>
PDC_HD void known_terms(const RowLaunch& l, const Row<T>& row, const Held<K, T>& h, int64_t index,
                        Cursor at, int n, const Output<T, E>& output, Quad<T> (&r)[K]) {
  Quad<T> next[K];
  mix_registers(row, h, r, next);
  if (l.F) {
    const Quad<T> F = guided(l, output);
    check_output(l, index, at.sample, F, n);
    PDC_UNROLL
    for (int j = 0; j < K; ++j)
      if (j == 0 || j < h.out) add_term(kHeld<K, T> ? h.f : constant(&row.f[j]), F, &next[j]);
    if (h.clips) {
      Quad<T> Dc;
      PDC_UNROLL
      for (int i = 0; i < 4; ++i) Dc.v[i] = clipped(r[0].v[i], F.v[i], row);
      PDC_UNROLL
      for (int j = 0; j < K; ++j)
        if (j == 0 || j < h.out) add_term(constant(&row.d[j]), Dc, &next[j]);
    }
  } else if (at.quad == 0) {
    l.first_bad[at.sample] = 0;
  }
  PDC_UNROLL
  for (int j = 0; j < K; ++j) r[j] = next[j];
}

// network: where its tensors have the quad.
template <int K, class T, class E, class Where, class Network>
PDC_HD void row_quad(const RowLaunch& l, const Row<T>& row, const Held<K, T>& h, int64_t index,
                     Cursor at, const Where& place, const Network& network) {
  Quad<T> r[K];
  PDC_UNROLL
  for (int k = 0; k < K; ++k)
    if (k < h.in || (k == 0 && h.clips))
      r[k] = load(plane<K, T>(l, h.source, row.source, k), place);
  Output<T, E> output;
  if (l.F) output = load_output<T, E>(l, index, at.sample, network);
  // The first draw is made before anything waits for these loads; one loop, since noise is most of
  // the code.
  int m = 0;
  PDC_NO_UNROLL
  do {
    Quad<T> z;
    if (m < h.draws) z = draw(l, row, m, at, place);
    if (m == 0) known_terms(l, row, h, index, at, place.n, output, r);
    if (m >= h.draws) break;
    PDC_UNROLL
    for (int j = 0; j < K; ++j)
      if (j == 0 || j < h.out) add_term(constant(&row.S[j][m]), z, &r[j]);
  } while (++m < h.draws);
  PDC_UNROLL
  for (int j = 0; j < K; ++j)
    if (j == 0 || j < h.out) store(plane<K, T>(l, h.target, row.target, j), r[j], place);
  if (h.c_in != 0) {
    PDC_UNROLL
    for (int i = 0; i < 4; ++i) r[0].v[i] = mul(h.c_in, r[0].v[i]);
    store(static_cast<E*>(l.input), narrow<E>(r[0]), network);
  }
}

template <int K, class T, class E, bool last>
PDC_HD void row_quads(const RowLaunch& l, int64_t index, Thread thread, bool whole) {
  const Row<T>& row = static_cast<const Row<T>*>(l.rows)[index];
  const Held<K, T> h = held_of<K>(l, row);
  PDC_NO_UNROLL
  for (Cursor at = first_quad(l.grid, thread); at.sample < l.grid.samples;
       at = next_quad(l.grid, at, whole)) {
    if constexpr (last) {
      const Cursor own = across(l, at);
      const Place place = place_of(l.grid, own, whole);
      row_quad<K, T, E>(l, row, h, index, own, place, spread_of(l, own, place.n));
    } else {
      const Place place = place_of(l.grid, at, whole);
      row_quad<K, T, E>(l, row, h, index, at, place, place);
    }
  }
}

template <int K, class T, class E, bool last>
PDC_HD void row_body(const RowLaunch& l, Thread thread) {
  const int64_t index = row_index(l);
  if (index < 0 || index >= l.row_count) return;
  if constexpr (K == kMaxRegisters)  // rare: half the code
    row_quads<K, T, E, last>(l, index, thread, l.whole);
  else if (l.whole)
    row_quads<K, T, E, last>(l, index, thread, true);
  else
    row_quads<K, T, E, last>(l, index, thread, false);
}

// A quad whose elements lie in several segments takes the row of each in turn.
template <int K, class T, class E>
PDC_HD void segments_body(const RowLaunch& l, Thread thread) {
  PDC_NO_UNROLL
  for (Cursor at = first_quad(l.grid, thread); at.sample < l.grid.samples;
       at = next_quad(l.grid, at, l.whole)) {
    const Place place = place_of(l.grid, at, l.whole);
    const int64_t element = 4 * at.quad;
    int64_t segment = element / l.segment_size;
    PDC_NO_UNROLL
    for (int begin = 0; begin < place.n; ++segment) {
      const int64_t left = (segment + 1) * l.segment_size - element;
      const int end = left < place.n ? static_cast<int>(left) : place.n;
      const int32_t index = constant(l.segment_rows + at.sample * l.segments + segment);
      if (index >= 0 && index < l.row_count) {
        const Part part = {place.flat, begin, end, l.whole && end - begin == 4};
        const Row<T>& row = static_cast<const Row<T>*>(l.rows)[index];
        row_quad<K, T, E>(l, row, held_of<K>(l, row), index, at, part, part);
      }
      begin = end;
    }
  }
}

// The last thread of a block reports it done; the last block moves the counter on. By then every
// thread of the launch has read it.
PDC_HD void count_row(const RowLaunch& l, Thread thread) {
  if (l.row >= 0) return;
#ifdef __CUDA_ARCH__
  __syncthreads();
#endif
  if (thread.thread != l.grid.threads - 1) return;
  Counter* const counter = l.counter;
  const int64_t row = counter->row;
#ifdef __CUDA_ARCH__
  __threadfence();
  const uint32_t before = atomicAdd(&counter->arrived, 1u);
#else
  const uint32_t before = counter->arrived++;
#endif
  if (before + 1 != static_cast<uint32_t>(l.grid.blocks)) return;
  counter->arrived = 0;
  counter->row = row + 1;
}

template <int K, class T, class E, RowKind kind>
PDC_HD void row_of_kind(const RowLaunch& l, Thread thread) {
  if constexpr (kind == kSegments) {
    segments_body<K, T, E>(l, thread);
  } else {
    row_body<K, T, E, kind == kChannelsLast>(l, thread);
    count_row(l, thread);
  }
}

// The kernels there are: common pairs of types have one for each number of registers up to four, of
// other kinds for two (channels last only) and four; the others, and more registers, take the
// widest. Make::of<K, T, E, kind>() names one.
template <class Make, class T, class E>
auto kernel_of(int registers, RowKind kind)
    -> decltype(Make::template of<kMaxRegisters, T, E, kInOrder>()) {
  constexpr bool common = Same<T, E>::value || (Same<T, float>::value && sizeof(E) == 2);
  if constexpr (common) {
    if (kind == kSegments && registers <= 4) return Make::template of<4, T, E, kSegments>();
    if (kind == kChannelsLast && registers <= 4)
      return registers <= 2 ? Make::template of<2, T, E, kChannelsLast>()
                            : Make::template of<4, T, E, kChannelsLast>();
    switch (registers) {
      case 1:
        return Make::template of<1, T, E, kInOrder>();
      case 2:
        return Make::template of<2, T, E, kInOrder>();
      case 3:
        return Make::template of<3, T, E, kInOrder>();
      case 4:
        return Make::template of<4, T, E, kInOrder>();
      default:
        break;
    }
  }
  switch (kind) {
    case kChannelsLast:
      return Make::template of<kMaxRegisters, T, E, kChannelsLast>();
    case kSegments:
      return Make::template of<kMaxRegisters, T, E, kSegments>();
    default:
      return Make::template of<kMaxRegisters, T, E, kInOrder>();
  }
}

}  // namespace PDC_TARGET
}  // namespace pdc
