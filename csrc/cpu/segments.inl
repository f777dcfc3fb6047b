// SPDX-License-Identifier: Apache-2.0
// Rows of segments: each of the equal parts of a sample is at a row of its own.
#pragma once
#include "channels.inl"

namespace pdc {
namespace PDC_TARGET {
namespace {

template <class T>
uint64_t segment_tile(const RowCall& call, const Tile& tile, const Row<T>& row, TileRow<T>* one) {
  Buffers<T>& buffers = one->buffers;
  const bool writes = row.c_in != 0, direct = writes && call.input_dtype == call.state_dtype;
  T* const input = direct ? static_cast<T*>(call.input) + tile.flat : buffers.input;
  const T* const F = network_output(call, tile, buffers.F, buffers.unconditional);
  const uint64_t bad = one->run(call, tile, F, input);
  if (writes && !direct) store(call.input_dtype, call.input, tile.flat, input, tile.length);
  return bad;
}

template <class T>
bool rows_of_segments(const RowCall& call, int64_t begin, int64_t end) {
  const Layout& layout = call.layout;
  const int64_t own = layout.size / call.segments, tiles = layout.tiles_per_sample / call.segments;
  const Row<T>* const table = static_cast<const Row<T>*>(call.row);
  TileRow<T> one;
  uint64_t bad = 0;
  int32_t at = -1;
  RowCall each = call;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t segment = t / tiles, first = (t - segment * tiles) * layout.length;
    const int32_t r = call.rows[segment];
    if (r < 0) continue;
    if (r != at) one.take(call, table[r]);
    at = r;
    if (call.guidance) each.guidance = call.guidance + r * call.guidance_row;
    const int64_t sample = segment / call.segments, flat = segment * own + first;
    const int64_t length = layout.length < own - first ? layout.length : own - first;
    const Tile tile = {sample, 1, flat - sample * layout.size, length, flat};
    bad |= segment_tile(each, tile, table[r], &one);
  }
  return bad != 0;
}

template <class T>
bool row_kernel_of(const RowCall& call, int64_t begin, int64_t end) {
  if (call.rows) return rows_of_segments<T>(call, begin, end);
  return call.layout.channels ? rows_of_blocks<T>(call, begin, end) : rows<T>(call, begin, end);
}

bool row_kernel(const RowCall& call, int64_t begin, int64_t end) {
  return call.state_dtype == PDC_FLOAT32 ? row_kernel_of<float>(call, begin, end)
                                         : row_kernel_of<double>(call, begin, end);
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
