// SPDX-License-Identifier: Apache-2.0
// Tiles of a vector target against normal(), one element at a time: noise_tile prints how many.
// Tiles of many samples are those that the layout makes, and nothing is written past kNormals.
// Samples of more than 2^34 elements have blocks whose counters carry into their second word, which
// no test could hold in memory.
#include <stdio.h>
#include <string.h>

#include "noise.inl"

using namespace pdc::PDC_TARGET;

static const uint64_t seeds[512] = {7, 0x0123456789ABCDEFull, ~0ull, 0};
static int checked = 0;

static bool tile_is_right(int64_t samples, int64_t element, int64_t length) {
  float z[kNormals + 64];
  for (int i = 0; i < 64; ++i) z[kNormals + i] = 9.0f;
  normal_tile(z, {0, samples, element, length, 0}, seeds, 3, 9);
  for (int i = 0; i < 64; ++i)
    if (z[kNormals + i] != 9.0f)
      return printf("%lld samples: written past the end\n", (long long)samples), false;
  for (int64_t s = 0; s < samples; ++s)
    for (int64_t i = 0; i < length; ++i, ++checked) {
      const float expected = normal(seeds[s], 3, 9, element + i), got = z[s * length + i];
      if (memcmp(&got, &expected, sizeof got)) {
        printf("element %lld of sample %lld is %a, expected %a\n", (long long)(element + i),
               (long long)s, got, expected);
        return false;
      }
    }
  return true;
}

int main() {
  const int64_t carry = int64_t{1} << 34;
  const int64_t elements[] = {0, carry - 512, carry - 64, carry - 8, carry, 3 * carry - 4};
  const int64_t lengths[] = {1, 5, 96, pdc::kTile};
  for (const int64_t element : elements)
    for (const int64_t length : lengths)
      if (!tile_is_right(1, element, length)) return 1;
  for (int64_t length = 1; length <= 9; ++length)
    for (int64_t samples = 2; samples * ((length + 3) / 4 * 4) <= pdc::kTile; samples += 13)
      if (!tile_is_right(samples, 0, length)) return 1;
  if (!tile_is_right(256, 0, 2) || !tile_is_right(512, 0, 1)) return 1;
  printf("%d\n", checked);
}
