// SPDX-License-Identifier: Apache-2.0
// Normals of a tile, a vector of Philox blocks at a time.
#pragma once
#include "kernels.h"
#include "lanes.h"
#include "memory.inl"
#include "pydiffcore/normal.h"
#include "two.h"

namespace pdc {
namespace PDC_TARGET {
namespace {

struct Tile {
  int64_t sample;  // the first
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

// A tile of normals in whole groups of vectors: up to one group sticks out of the last sample.
constexpr int kGroup = 4;  // vectors whose rounds interleave, to hide the latency of the products
constexpr int kBlocks = kTile / 4 + kGroup * Lanes::blocks;
constexpr int kNormals = 4 * kBlocks;
constexpr int kKeys = kTile + 2 * kGroup * Lanes::blocks;

template <class K>
struct Vectors {
  Words<Lanes::W> words[kGroup];
  K key_low[kGroup], key_high[kGroup];
};

template <class K>
PDC_HD void scramble(Vectors<K>* v) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroup; ++g) {
      v->words[g] = philox_round<Lanes>(v->words[g], v->key_low[g], v->key_high[g]);
      next_round_keys(&v->key_low[g], &v->key_high[g]);
    }
  }
}

// Radius words, then angle words of the vectors' pairs, in the order of the elements.
PDC_HD void store_words(uint32_t* to, const Words<Lanes::W>* words) {
#pragma GCC unroll 4
  for (int g = 0; g < kGroup; ++g) {
    Lanes::store(to + 2 * g * Lanes::words, Lanes::join(words[g].w0, words[g].w2));
    Lanes::store(to + (2 * g + 1) * Lanes::words, Lanes::join(words[g].w1, words[g].w3));
  }
}

PDC_HD Lanes::W iota() {
  Lanes::W v;
  for (int i = 0; i < Lanes::blocks; ++i) v[i] = i;
  return v;
}

// Counters that share their high word spare the first two rounds a product each.
template <bool one_high>
void words_of_one(uint32_t* to, int64_t length, uint64_t block, uint64_t seed, uint32_t purpose,
                  uint32_t stream) {
  Lanes::W counter = iota() + block;
  for (int64_t i = 0; i < length; i += 4 * kGroup * Lanes::blocks) {
    Vectors<uint64_t> v;
    for (int g = 0; g < kGroup; ++g) {
      const Lanes::W high = one_high ? Lanes::set_word(block >> 32) : counter >> 32;
      v.words[g] = {counter, high, Lanes::set_word(stream), Lanes::set_word(purpose)};
      v.key_low[g] = seed;
      v.key_high[g] = seed >> 32;
      counter = counter + uint64_t{Lanes::blocks};
    }
    scramble(&v);
    store_words(to + i, v.words);
  }
}

// A key per lane.
PDC_HD void keyed_group(Vectors<Lanes::W>* v, const uint64_t* keys, const uint64_t* counters,
                        uint32_t purpose, uint32_t stream) {
  for (int g = 0; g < kGroup; ++g) {
    const int at = g * Lanes::blocks;
    const Lanes::W counter = counters ? Lanes::load<Lanes::W>(counters + at) : Lanes::W{};
    v->words[g] = {counter, Lanes::W{}, Lanes::set_word(stream), Lanes::set_word(purpose)};
    v->key_low[g] = Lanes::load<Lanes::W>(keys + at);
    v->key_high[g] = v->key_low[g] >> 32;
  }
  scramble(v);
}

// Samples of more than two elements take whole blocks.
void words_of_many(uint32_t* to, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                   uint32_t stream) {
  uint64_t keys[kKeys], counters[kKeys];
  const int64_t blocks = (tile.length + 3) / 4, total = blocks * tile.samples;
  int64_t at = 0;
  for (int64_t s = 0; s < tile.samples; ++s)
    for (int64_t b = 0; b < blocks; ++b, ++at) {
      keys[at] = seeds[tile.sample + s];
      counters[at] = b;
    }
  for (; at < total + kGroup * Lanes::blocks; ++at) keys[at] = counters[at] = 0;
  for (int64_t i = 0; i < total; i += kGroup * Lanes::blocks) {
    Vectors<Lanes::W> v;
    keyed_group(&v, keys + i, counters + i, purpose, stream);
    store_words(to + 4 * i, v.words);
  }
}

// Samples of one or two elements use half of their block. Even and odd samples go to alternate
// vectors, so that their words join in the order of the samples.
void words_of_tiny(uint32_t* to, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                   uint32_t stream) {
  constexpr int pair = 2 * Lanes::blocks;
  uint64_t padded[kKeys], keys[kKeys];
  __builtin_memcpy(padded, seeds + tile.sample, tile.samples * sizeof *seeds);
  for (int64_t i = tile.samples; i < tile.samples + 2 * pair; ++i) padded[i] = 0;
  for (int64_t i = 0; i < tile.samples + pair; i += pair)
    for (int l = 0; l < Lanes::blocks; ++l) {
      keys[i + l] = padded[i + 2 * l];
      keys[i + l + Lanes::blocks] = padded[i + 2 * l + 1];
    }
  for (int64_t i = 0; i < tile.samples; i += 2 * pair) {
    Vectors<Lanes::W> v;
    keyed_group(&v, keys + i, nullptr, purpose, stream);
    for (int g = 0; g < kGroup; g += 2) {
      uint32_t* const half = to + 2 * (i + g * Lanes::blocks);
      Lanes::store(half, Lanes::join(v.words[g].w0, v.words[g + 1].w0));
      Lanes::store(half + Lanes::words, Lanes::join(v.words[g].w1, v.words[g + 1].w1));
    }
  }
}

// z[i] of pairs of vectors of words; `first_only` keeps the even normal of each pair. Reads and
// writes whole twos of vectors of pairs: a group of words fills one or two.
template <bool first_only>
void normals_of(float* z, const uint32_t* words, int64_t pairs) {
  constexpr int n = Lanes::words;
  using U = Lanes::U;
  for (int64_t i = 0; i < pairs; i += 2 * n, words += 4 * n) {
    const TwoLanes::U radius = {Lanes::load<U>(words), Lanes::load<U>(words + 2 * n)};
    const TwoLanes::U angle = {Lanes::load<U>(words + n), Lanes::load<U>(words + 3 * n)};
    const Pair<TwoLanes::F> pair = box_muller<TwoLanes>(radius, angle);
    if (first_only) {
      Lanes::store(z + i, pair.even.a);
      Lanes::store(z + i + n, pair.even.b);
    } else {
      Lanes::store_interleaved(z + 2 * i, pair.even.a, pair.odd.a);
      Lanes::store_interleaved(z + 2 * (i + n), pair.even.b, pair.odd.b);
    }
  }
}

struct Block {
  float z[4];
};

// Drops the normals of the last block of each sample that lie past its end.
void compact(float* z, const Tile& tile) {
  const int64_t blocks = (tile.length + 3) / 4;
  for (int64_t s = 1; s < tile.samples; ++s)
    for (int64_t b = 0; b < blocks; ++b) {
      Block block;
      __builtin_memcpy(&block, z + (s * blocks + b) * 4, sizeof block);
      __builtin_memcpy(z + s * tile.length + b * 4, &block, sizeof block);
    }
}

// z[0 … tile.total()); up to kNormals are written.
void normal_tile(float* z, const Tile& tile, const uint64_t* seeds, uint32_t purpose,
                 uint32_t stream) {
  uint32_t words[2 * kNormals];
  if (tile.samples == 1) {
    const uint64_t block = static_cast<uint64_t>(tile.element) >> 2;
    if (block >> 32 == (block + kBlocks) >> 32)
      words_of_one<true>(words, tile.length, block, seeds[tile.sample], purpose, stream);
    else
      words_of_one<false>(words, tile.length, block, seeds[tile.sample], purpose, stream);
    normals_of<false>(z, words, (tile.length + 1) / 2);
  } else if (tile.length > 2) {
    words_of_many(words, tile, seeds, purpose, stream);
    normals_of<false>(z, words, (tile.length + 3) / 4 * 2 * tile.samples);
    if (tile.length % 4) compact(z, tile);
  } else {
    words_of_tiny(words, tile, seeds, purpose, stream);
    if (tile.length == 2)
      normals_of<false>(z, words, tile.samples);
    else
      normals_of<true>(z, words, tile.samples);
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
