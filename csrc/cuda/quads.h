// SPDX-License-Identifier: Apache-2.0
// Which quads a thread works on, and their noise.
#pragma once
#include "access.h"
#include "launch.h"
#include "pydiffcore/normal.h"

namespace pdc {
namespace PDC_TARGET {

struct Thread {
  int32_t block, thread;
};

struct Cursor {
  int64_t sample, quad;
  int64_t flat;  // the quad's first element's index in the batch
};

PDC_HD Cursor first_quad(const Grid& grid, Thread thread) {
  const int64_t index = static_cast<int64_t>(thread.block) * grid.threads + thread.thread;
  const int64_t sample = index / grid.quads;
  const int64_t quad = index - sample * grid.quads;
  return {sample, quad, sample * grid.size + 4 * quad};
}
PDC_HD Cursor next_quad(const Grid& grid, Cursor at, bool whole) {
  at.sample += grid.sample_step;
  at.quad += grid.quad_step - grid.quads;
  at.flat += grid.flat_step;
  if (at.quad < 0) {
    at.quad += grid.quads;
  } else {
    if (!whole) at.flat += grid.size - 4 * grid.quads;
    ++at.sample;
  }
  return at;
}

PDC_HD Place place_of(const Grid& grid, Cursor at, bool whole) {
  const int64_t left = grid.size - 4 * at.quad;
  return {at.flat, whole || left > 4 ? 4 : static_cast<int>(left), whole};
}

PDC_HD Quad<float> normal_quad(uint64_t seed, uint32_t purpose, uint32_t stream, int64_t quad) {
  const Words<uint64_t> w = philox_block(static_cast<uint64_t>(quad), seed, stream, purpose);
  const Pair<float> a =
      box_muller<Scalar>(static_cast<uint32_t>(w.w0), static_cast<uint32_t>(w.w1));
  const Pair<float> b =
      box_muller<Scalar>(static_cast<uint32_t>(w.w2), static_cast<uint32_t>(w.w3));
  return {{a.even, a.odd, b.even, b.odd}};
}

}  // namespace PDC_TARGET
}  // namespace pdc
