// SPDX-License-Identifier: Apache-2.0
// The scalar functors of the headers against the known answers: known_answers philox.txt
// normals.txt
#define PDC_TARGET known_answers
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pydiffcore/normal.h"

using namespace pdc::known_answers;

static int check_philox(const char* path) {
  char line[256];
  int checked = 0;
  FILE* file = fopen(path, "r");
  if (!file) return -1;
  while (fgets(line, sizeof line, file)) {
    uint32_t w[10];
    if (sscanf(line, "%x %x %x %x %x %x %x %x %x %x", w, w + 1, w + 2, w + 3, w + 4, w + 5, w + 6,
               w + 7, w + 8, w + 9) != 10)
      continue;
    const Words<uint64_t> r = philox<Scalar, uint64_t>({w[0], w[1], w[2], w[3]}, w[4], w[5]);
    const uint32_t got[] = {(uint32_t)r.w0, (uint32_t)r.w1, (uint32_t)r.w2, (uint32_t)r.w3};
    if (memcmp(got, w + 6, sizeof got)) return printf("wrong: %s", line), -1;
    ++checked;
  }
  fclose(file);
  return checked;
}

static int check_normals(const char* path) {
  char line[256];
  int checked = 0;
  FILE* file = fopen(path, "r");
  if (!file) return -1;
  while (fgets(line, sizeof line, file)) {
    uint64_t seed, e;
    uint32_t purpose, stream, bits;
    if (sscanf(line, "%" SCNx64 " %u %u %" SCNu64 " %x", &seed, &purpose, &stream, &e, &bits) != 5)
      continue;
    if (Scalar::bits(normal(seed, purpose, stream, e)) != bits)
      return printf("wrong: %s", line), -1;
    ++checked;
  }
  fclose(file);
  return checked;
}

int main(int, char** argv) {
  const int blocks = check_philox(argv[1]), normals = check_normals(argv[2]);
  printf("%d blocks, %d normals\n", blocks, normals);
  return blocks > 0 && normals > 0 ? 0 : 1;
}
