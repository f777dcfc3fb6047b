/* SPDX-License-Identifier: Apache-2.0
 * The C interface alone: prints the instruction set and the first normals of two seeds.
 *
 *   LIB=$(python -c 'from pydiffcore.ops import native; print(native.info()["library"])')
 *   cc examples/c/normals.c -I "$(dirname "$LIB")/include" "$LIB" \
 *      -Wl,-rpath,"$(dirname "$LIB")" -o normals && ./normals
 */
#include <pydiffcore/capi.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 2, SIZE = 6 };

int main(void) {
  const uint64_t seeds[SAMPLES] = {0, 1};
  const uint32_t purpose = 0, stream = 0;
  float z[SAMPLES][SIZE];
  if (!pdc_target()) {
    fprintf(stderr, "PYDIFFCORE_TARGET names a target that cannot run here\n");
    return EXIT_FAILURE;
  }
  if (pdc_normal(z, PDC_FLOAT32, SAMPLES, SIZE, seeds, purpose, stream) != PDC_OK) {
    fprintf(stderr, "pdc_normal refused its arguments\n");
    return EXIT_FAILURE;
  }
  printf("pydiffcore %s on %s\n", pdc_version(), pdc_target());
  for (int b = 0; b < SAMPLES; ++b)
    for (int e = 0; e < SIZE; ++e) printf("seed %d element %d %+.9g\n", (int)seeds[b], e, z[b][e]);
  return EXIT_SUCCESS;
}
