// SPDX-License-Identifier: Apache-2.0
// The C interface but for programs: descriptions of the library, normals, corruption.
#define PDC_TARGET program
#include "pydiffcore/capi.h"

#include <dlfcn.h>
#include <omp.h>

#include "kernels.h"
#include "parallel.h"
#include "table.h"

using pdc::program::is_float;
using pdc::program::valid;

namespace {

constexpr double kNormalCost = 0.45, kCorruptionCost = 0.6;  // ns per element

template <class Call>
void run(const Call& call, void (*kernel)(const Call&, int64_t, int64_t), double cost) {
  const double elements = static_cast<double>(call.layout.samples) * call.layout.size;
  pdc::run_kernel(kernel, call, call.layout.tiles, cost * elements);
}

}  // namespace

const char* pdc_version(void) { return PDC_VERSION; }

const char* pdc_target(void) { return pdc::kernels() ? pdc::kernels()->name : nullptr; }

const char* pdc_targets(void) {
#if defined(__x86_64__)
  return "baseline avx2 avx512";
#elif defined(__aarch64__)
  return "baseline neon";
#else
  return "baseline";
#endif
}

int pdc_threads(void) { return pdc::threads(); }

const char* pdc_openmp_library(void) {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&omp_get_max_threads), &info) ? info.dli_fname : "";
}

int pdc_normal(void* out, int dtype, int64_t samples, int64_t size, const uint64_t* seeds,
               uint32_t purpose, uint32_t stream) {
  if (!pdc::kernels() || !is_float(dtype) || samples < 0 || size < 0) return PDC_INVALID;
  const pdc::NormalCall call = {pdc::layout_of(samples, size), seeds, purpose, stream, dtype, out};
  run(call, pdc::kernels()->normal, kNormalCost);
  return PDC_OK;
}

int pdc_corrupt(const pdc_corruption* c) {
  if (!pdc::kernels() || !valid(*c)) return PDC_INVALID;
  const pdc::CorruptionCall call = {pdc::layout_of(c->samples, c->size),
                                    c->seeds,
                                    c->purpose,
                                    c->stream,
                                    c->image_dtype,
                                    c->input_dtype,
                                    c->images,
                                    c->coefficients,
                                    c->input,
                                    c->target};
  run(call, pdc::kernels()->corrupt, kCorruptionCost);
  return PDC_OK;
}
