// SPDX-License-Identifier: Apache-2.0
// One row for one tile of one sample, where tiles need not begin on a Philox block and may each
// have a row of their own.
#pragma once
#include "row.inl"

namespace pdc {
namespace PDC_TARGET {
namespace {

template <class T>
const T* draw_within(const RowCall& call, const Tile& tile, const Row<T>& row, int m,
                     Buffers<T>* buffers) {
  if (call.noise) return draw(call, tile, row, m, buffers);
  Tile whole = tile;
  whole.length += tile.element % 4;
  return draw(call, whole, row, m, buffers) + tile.element % 4;
}

template <class T>
struct TileRow {
  const Row<T>* row;
  int clip;
  Update<T> update;
  Operands<T> o;
  alignas(64) Buffers<T> buffers;

  void take(const RowCall& call, const Row<T>& given) {
    row = &given;
    clip = row->clipped && call.F;
    set_coefficients(call, *row, clip, &o);
    update = update_of(*row, o.extras, call.F != nullptr);
  }

  // F: guided, or NULL.
  uint64_t run(const RowCall& call, const Tile& tile, const T* F, T* input) {
    o.n = tile.length;
    o.reg = static_cast<T*>(call.state) + tile.flat;
    o.F = F;
    o.input = input;
    if (clip) {
      for (int64_t i = 0; i < o.n; ++i) buffers.Dc[i] = clipped(o.reg[i], F[i], *row);
      o.extra[0] = buffers.Dc;
    }
    for (int m = 0; m < row->draws; ++m) {
      o.extra[clip + m] = draw_within(call, tile, *row, m, &buffers);
      if (call.scale) o.extra[clip + m] = scaled(call, tile, o.extra[clip + m], m, &buffers);
    }
    return update(*row, o);
  }
};

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
