// SPDX-License-Identifier: Apache-2.0
// Tiles of a vector target against normal(), one element at a time: noise_tile prints how many.
// Samples of more than 2^34 elements have blocks whose counters carry into their second word, which
// no test could hold in memory.
#include <stdio.h>
#include <string.h>

#include "noise.inl"

using namespace pdc::PDC_TARGET;

int main() {
  const uint64_t seeds[] = {0x0123456789ABCDEFull, 7};
  const int64_t carry = int64_t{1} << 34;
  const int64_t elements[] = {0, carry - 512, carry - 64, carry - 8, carry, 3 * carry - 4};
  const int64_t lengths[] = {1, 5, 96, pdc::kTile};
  int checked = 0;
  for (const int64_t element : elements)
    for (const int64_t length : lengths) {
      float z[kNormals];
      normal_tile(z, {1, 1, element, length, element}, seeds, 3, 9);
      for (int64_t i = 0; i < length; ++i, ++checked) {
        const float expected = normal(seeds[1], 3, 9, element + i);
        if (memcmp(&z[i], &expected, sizeof expected)) {
          printf("element %lld is %a, expected %a\n", (long long)(element + i), z[i], expected);
          return 1;
        }
      }
    }
  printf("%d\n", checked);
}
