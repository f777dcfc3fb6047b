// SPDX-License-Identifier: Apache-2.0
// The instruction set, chosen once: the best that runs here, or the one PYDIFFCORE_TARGET names.
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

namespace pdc {
namespace baseline {
extern const Kernels kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

struct Candidate {
  const Kernels* kernels;
  bool runs;
};

const Kernels* choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool f16c = __builtin_cpu_supports("f16c");
  const bool avx2 = f16c && __builtin_cpu_supports("avx2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const Candidate candidates[] = {
      {&avx512::kernels, avx512}, {&avx2::kernels, avx2}, {&baseline::kernels, true}};
#elif defined(__aarch64__)
  const Candidate candidates[] = {{&neon::kernels, true}, {&baseline::kernels, true}};
#else
  const Candidate candidates[] = {{&baseline::kernels, true}};
#endif
  const char* wanted = getenv("PYDIFFCORE_TARGET");
  const bool any = !wanted || !*wanted;
  for (const Candidate& c : candidates)
    if (c.runs && (any || !strcmp(wanted, c.kernels->name))) return c.kernels;
  return nullptr;
}

}  // namespace

const Kernels* kernels() {
  static const Kernels* const chosen = choose();
  return chosen;
}

Layout layout_of(int64_t samples, int64_t size) {
  Layout layout = {samples, size, 0, 1, 1, size, 0};
  if (samples == 0 || size == 0) return layout;
  if (size > kTile) {
    layout.tiles_per_sample = (size + kTile - 1) / kTile;
    // Near-equal tiles, each but the last made of whole vectors of blocks on every target.
    const int64_t equal = (size + layout.tiles_per_sample - 1) / layout.tiles_per_sample;
    layout.length = (equal + 31) / 32 * 32;
    layout.tiles_per_sample = (size + layout.length - 1) / layout.length;
    layout.tiles = samples * layout.tiles_per_sample;
  } else {
    layout.group = size <= 2 ? kTile / size : kTile / ((size + 3) / 4 * 4);
    layout.tiles = (samples + layout.group - 1) / layout.group;
  }
  return layout;
}

namespace {

// Near-equal tiles of a plane or segment, `together` of which fit into a block.
int64_t length_of(int64_t size, int64_t together) {
  // Draws begin on a Philox block; where a tile does not, up to three more precede them.
  const int64_t most = size % 4 ? kTile - 32 : kTile, room = kBlock / together / 32 * 32;
  const int64_t longest = room < most ? room : most, tiles = (size + longest - 1) / longest;
  return ((size + tiles - 1) / tiles + 31) / 32 * 32;
}

}  // namespace

Layout layout_of_channels(int64_t samples, int64_t size, int64_t channels) {
  const int64_t pixels = size / channels;
  const int64_t length = length_of(pixels, channels < kChannels ? channels : kChannels);
  const int64_t per_sample = (pixels + length - 1) / length;
  return {samples, size, samples * per_sample, per_sample, 1, length, channels};
}

Layout layout_of_segments(int64_t samples, int64_t size, int64_t segments) {
  const int64_t own = size / segments;
  if (samples == 0 || own == 0) return {samples, size, 0, 1, 1, size, 0};
  const int64_t length = length_of(own, 1), per_sample = (own + length - 1) / length * segments;
  return {samples, size, samples * per_sample, per_sample, 1, length, 0};
}

}  // namespace pdc
