// SPDX-License-Identifier: Apache-2.0
// Normals of a tile, a vector of Philox blocks at a time.

namespace pdc {
namespace PDC_TARGET {
namespace {

struct Tile {
  int64_t sample;   // the first
  int64_t samples;
  int64_t element;  // the first in its sample
  int64_t length;   // elements of each sample
  int64_t flat;     // the first element's index in the batch
  int64_t total() const { return samples * length; }
};

PDC_HD Tile tile_of(const Layout& layout, int64_t index) {
  Tile tile;
  if (layout.tiles_per_sample > 1) {
    tile.sample = index / layout.tiles_per_sample;
    tile.samples = 1;
    tile.element = (index - tile.sample * layout.tiles_per_sample) * layout.length;
    const int64_t left = layout.size - tile.element;
    tile.length = left < layout.length ? left : layout.length;
  } else {
    tile.sample = index * layout.group;
    const int64_t left = layout.samples - tile.sample;
    tile.samples = left < layout.group ? left : layout.group;
    tile.element = 0;
    tile.length = layout.size;
  }
  tile.flat = tile.sample * layout.size + tile.element;
  return tile;
}

// Room for a tile of normals and the part of a last vector that sticks out.
constexpr int kNormals = kTile + 4 * Lanes::blocks * 2;
constexpr int kKeys = kTile + 4 * Lanes::blocks;

// Low halves of a and b as neighbouring 32-bit lanes.
PDC_HD Lanes::U join(Lanes::W a, Lanes::W b) {
  return (Lanes::U)((a & 0xFFFFFFFFull) | (b << 32));
}

PDC_HD void store_blocks(float* z, const Words<Lanes::W>& w) {
  const Pair<Lanes::F> pair = box_muller<Lanes>(join(w.w0, w.w2), join(w.w1, w.w3));
  Lanes::store_interleaved(z, pair.even, pair.odd);
}

PDC_HD Lanes::W iota() {
  Lanes::W v;
  for (int i = 0; i < Lanes::blocks; ++i) v[i] = i;
  return v;
}

void one_sample(float* z, int64_t length, uint64_t block, uint64_t seed, uint32_t purpose,
                uint32_t stream) {
  const uint64_t key_high = seed >> 32;
  Lanes::W counter = iota() + block;
  for (int64_t i = 0; i < length; i += 4 * Lanes::blocks) {
    store_blocks(z + i, philox<Lanes, uint64_t>({counter, counter >> 32, Lanes::set_word(stream),
                                                 Lanes::set_word(purpose)},
                                                seed, key_high));
    counter = counter + uint64_t{Lanes::blocks};
  }
}

// Samples of more than two elements: each takes whole blocks, with its own key in the lane; normals
// past the end of a sample are dropped afterwards.
void many_samples(float* z, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                  uint32_t stream) {
  uint64_t keys[kKeys], counters[kKeys];
  const int64_t blocks = (tile.length + 3) / 4, total = blocks * tile.samples;
  int64_t at = 0;
  for (int64_t s = 0; s < tile.samples; ++s)
    for (int64_t b = 0; b < blocks; ++b, ++at) {
      keys[at] = seeds[tile.sample + s];
      counters[at] = b;
    }
  for (int i = 0; i < Lanes::blocks; ++i) keys[total + i] = counters[total + i] = 0;
  for (int64_t i = 0; i < total; i += Lanes::blocks) {
    const Lanes::W key = Lanes::load<Lanes::W>(keys + i);
    store_blocks(z + 4 * i,
                 philox<Lanes, Lanes::W>({Lanes::load<Lanes::W>(counters + i), Lanes::W{},
                                          Lanes::set_word(stream), Lanes::set_word(purpose)},
                                         key, key >> 32));
  }
  if (tile.length % 4 == 0) return;
  for (int64_t s = 1; s < tile.samples; ++s)
    for (int64_t e = 0; e < tile.length; ++e) z[s * tile.length + e] = z[s * blocks * 4 + e];
}

// Samples of one or two elements: the second pair of each block is never made. Even and odd samples
// go to two vectors of blocks, so that their words join in the order of the samples.
void tiny_samples(float* z, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                  uint32_t stream) {
  uint64_t even[kKeys / 2], odd[kKeys / 2];
  const int64_t pairs = (tile.samples + 1) / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    even[i] = seeds[tile.sample + 2 * i];
    odd[i] = 2 * i + 1 < tile.samples ? seeds[tile.sample + 2 * i + 1] : 0;
  }
  for (int i = 0; i < Lanes::blocks; ++i) even[pairs + i] = odd[pairs + i] = 0;
  const Words<Lanes::W> counter = {Lanes::W{}, Lanes::W{}, Lanes::set_word(stream),
                                   Lanes::set_word(purpose)};
  for (int64_t i = 0; i < pairs; i += Lanes::blocks) {
    const Lanes::W a = Lanes::load<Lanes::W>(even + i), b = Lanes::load<Lanes::W>(odd + i);
    const Words<Lanes::W> u = philox<Lanes, Lanes::W>(counter, a, a >> 32);
    const Words<Lanes::W> v = philox<Lanes, Lanes::W>(counter, b, b >> 32);
    const Pair<Lanes::F> pair = box_muller<Lanes>(join(u.w0, v.w0), join(u.w1, v.w1));
    if (tile.length == 2) {
      Lanes::store_interleaved(z + 4 * i, pair.even, pair.odd);
    } else {
      Lanes::store(z + 2 * i, pair.even);
    }
  }
}

// z[0 … tile.total()) and up to a vector pair of leftovers beyond.
void normal_tile(float* z, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                 uint32_t stream) {
  if (tile.samples == 1) {
    one_sample(z, tile.length, static_cast<uint64_t>(tile.element) >> 2, seeds[tile.sample],
               purpose, stream);
  } else if (tile.length > 2) {
    many_samples(z, tile, seeds, purpose, stream);
  } else {
    tiny_samples(z, tile, seeds, purpose, stream);
  }
}

void normal_kernel(const NormalCall& call, int64_t begin, int64_t end) {
  float z[kNormals];
  for (int64_t t = begin; t < end; ++t) {
    const Tile tile = tile_of(call.layout, t);
    normal_tile(z, tile, call.seeds, call.purpose, call.stream);
    store(call.dtype, call.out, tile.flat, z, tile.total());
  }
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
