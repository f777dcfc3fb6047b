// SPDX-License-Identifier: Apache-2.0
// Training corruption over a range of tiles.
#pragma once
#include "kernels.h"
#include "memory.inl"
#include "noise.inl"
#include "pydiffcore/corruption.h"

namespace pdc {
namespace PDC_TARGET {
namespace {

void corruption_kernel(const CorruptionCall& call, int64_t begin, int64_t end) {
  float z[kNormals], x0[kTile], input[kTile];
  for (int64_t t = begin; t < end; ++t) {
    const Tile tile = tile_of(call.layout, t);
    normal_tile(z, tile, call.seeds, call.purpose, call.stream);
    load(call.image_dtype, call.images, tile.flat, x0, tile.total());
    float* target = call.target + tile.flat;
    for (int64_t s = 0; s < tile.samples; ++s) {
      const float* c = call.coefficients + 4 * (tile.sample + s);
      const Corruption coefficients = {c[0], c[1], c[2], c[3]};
      const int64_t first = s * tile.length;
      for (int64_t i = first; i < first + tile.length; ++i) {
        input[i] = corrupted_input(coefficients, x0[i], z[i]);
        target[i] = training_target(coefficients, x0[i], z[i]);
      }
    }
    store(call.input_dtype, call.input, tile.flat, input, tile.total());
  }
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
