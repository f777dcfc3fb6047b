// SPDX-License-Identifier: Apache-2.0
// The network's tensors with their channels last: element c P + p of a sample lies at p C + c. They
// are read and written in blocks of some pixels, whose channels a row then takes one by one.
#pragma once
#include "tile_row.inl"

namespace pdc {
namespace PDC_TARGET {
namespace {

struct Pixels {
  int64_t sample, pixel, channel;  // the first
  int64_t pixels, channels;
};

Pixels pixels_of(const Layout& layout, int64_t t) {
  const int64_t sample = t / layout.tiles_per_sample;
  const int64_t pixel = (t - sample * layout.tiles_per_sample) * layout.length;
  const int64_t left = layout.size / layout.channels - pixel;
  return {sample, pixel, 0, layout.length < left ? layout.length : left, 0};
}

// Calls f(i, at, n) for every run of elements that lie at at, …, at + n in the network's memory and
// at i, …, i + n in the block.
template <class Function>
PDC_HD void each_run(const Layout& layout, const Pixels& b, Function f) {
  const int64_t first = b.sample * layout.size + b.pixel * layout.channels + b.channel;
  if (b.channels == layout.channels) return f(0, first, b.pixels * b.channels);
  for (int64_t p = 0; p < b.pixels; ++p) f(p * b.channels, first + p * layout.channels, b.channels);
}

// Pixels of channels to planes of pixels. count: the channels, so that whole vectors are permuted;
// 0: any number.
template <int count, class T>
void split(const T* from, const Pixels& b, T* to) {
  const int64_t n = b.pixels, channels = count ? count : b.channels;
  if constexpr (count > 0) {
#pragma GCC ivdep
    for (int64_t p = 0; p < n; ++p)
#pragma GCC unroll 4
      for (int c = 0; c < count; ++c) to[c * n + p] = from[p * count + c];
  } else {
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t p = 0; p < n; ++p) to[c * n + p] = from[p * channels + c];
  }
}
template <int count, class T>
void merge(const T* from, const Pixels& b, T* to) {
  const int64_t n = b.pixels, channels = count ? count : b.channels;
  if constexpr (count > 0) {
#pragma GCC ivdep
    for (int64_t p = 0; p < n; ++p)
#pragma GCC unroll 4
      for (int c = 0; c < count; ++c) to[p * count + c] = from[c * n + p];
  } else {
    for (int64_t p = 0; p < n; ++p)
      for (int64_t c = 0; c < channels; ++c) to[p * channels + c] = from[c * n + p];
  }
}

// A block in the state's type, plane after plane.
template <class T>
void load_block(const RowCall& call, const Pixels& b, const void* from, T* to) {
  alignas(64) T mixed[kBlock];
  each_run(call.layout, b, [&](int64_t i, int64_t at, int64_t n) {
    load(call.input_dtype, from, at, mixed + i, n);
  });
  switch (b.channels) {
    case 2:
      return split<2>(mixed, b, to);
    case 3:
      return split<3>(mixed, b, to);
    case 4:
      return split<4>(mixed, b, to);
    default:
      return split<0>(mixed, b, to);
  }
}
template <class T>
void store_block(const RowCall& call, const Pixels& b, const T* from) {
  alignas(64) T mixed[kBlock];
  switch (b.channels) {
    case 2:
      merge<2>(from, b, mixed);
      break;
    case 3:
      merge<3>(from, b, mixed);
      break;
    case 4:
      merge<4>(from, b, mixed);
      break;
    default:
      merge<0>(from, b, mixed);
  }
  each_run(call.layout, b, [&](int64_t i, int64_t at, int64_t n) {
    store(call.input_dtype, call.input, at, mixed + i, n);
  });
}

// F of one channel of a block, with guidance, in the place of F.
template <class T>
void guide_channel(const RowCall& call, const Tile& tile, T* F, const T* unconditional) {
  const T w = static_cast<T>(call.guidance[tile.sample * call.guidance_stride]);
  for (int64_t i = 0; i < tile.length; ++i) F[i] = guide(F[i], unconditional[i], w);
}

// rows() for a network with its channels last.
template <class T>
struct BlockRows {
  TileRow<T> one;
  alignas(64) T F[kBlock], unconditional[kBlock], input[kBlock];

  void block(const RowCall& call, const Pixels& b, uint64_t* bad) {
    const Layout& layout = call.layout;
    const int64_t plane = layout.size / layout.channels;
    if (call.F) load_block(call, b, call.F, F);
    if (call.unconditional) load_block(call, b, call.unconditional, unconditional);
    for (int64_t c = 0; c < b.channels; ++c) {
      const int64_t element = (b.channel + c) * plane + b.pixel, i = c * b.pixels;
      const Tile tile = {b.sample, 1, element, b.pixels, b.sample * layout.size + element};
      if (call.unconditional) guide_channel(call, tile, F + i, unconditional + i);
      *bad |= one.run(call, tile, call.F ? F + i : nullptr, input + i);
    }
    if (one.row->c_in != 0) store_block(call, b, input);
  }
};

template <class T>
bool rows_of_blocks(const RowCall& call, int64_t begin, int64_t end) {
  BlockRows<T> rows;
  rows.one.take(call, *static_cast<const Row<T>*>(call.row));
  uint64_t bad = 0;
  for (int64_t t = begin; t < end; ++t) {
    Pixels b = pixels_of(call.layout, t);
    for (; b.channel < call.layout.channels; b.channel += b.channels) {
      const int64_t left = call.layout.channels - b.channel;
      b.channels = left < kChannels ? left : kChannels;
      rows.block(call, b, &bad);
    }
  }
  return bad != 0;
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
