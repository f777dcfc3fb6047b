// SPDX-License-Identifier: Apache-2.0
// The C interface of squared errors.
#define PDC_TARGET squared_sums
#include "pydiffcore/squared.h"

#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "pydiffcore/capi.h"

namespace {

using namespace pdc::squared_sums;

constexpr double kSumCost = 0.08, kGradientCost = 0.12;  // ns per element

void run(const pdc::SquaredCall& call, int64_t samples,
         void (*kernel)(const pdc::SquaredCall&, int64_t, int64_t), double cost) {
  pdc::run_kernel(kernel, call, samples * call.chunks,
                  cost * static_cast<double>(samples) * call.size);
}

bool valid(const pdc_squared& s) {
  return pdc::kernels() && s.samples >= 0 && s.size >= 0 &&
         (s.dtype == PDC_FLOAT32 || s.dtype == PDC_BFLOAT16 || s.dtype == PDC_FLOAT16);
}

pdc::SquaredCall call_of(const pdc_squared& s) {
  pdc::SquaredCall call = {};
  call.size = s.size;
  call.chunks = (s.size + kChunk - 1) / kChunk;
  call.dtype = s.dtype;
  call.F = s.F;
  call.target = s.target;
  return call;
}

}  // namespace

int pdc_squared_error(const pdc_squared* s, const float* factor, float* means, float* loss,
                      float each, int64_t count, void* gradient) {
  if (!valid(*s) || s->samples * s->size == 0 || (gradient && count <= 0)) return PDC_INVALID;
  pdc::SquaredCall call = call_of(*s);
  std::vector<double> sums(s->samples * call.chunks), errors(s->samples);
  std::vector<float> scale(gradient ? s->samples : 0);
  for (int64_t b = 0; gradient && b < s->samples; ++b)
    scale[b] = 2 * ((factor ? each * factor[b] : each) / static_cast<float>(count));
  call.sums = sums.data();
  call.scale = scale.data();
  call.scale_stride = 1;
  call.gradient = gradient;
  run(call, s->samples, pdc::kernels()->squared, gradient ? kGradientCost : kSumCost);
  for (int64_t b = 0; b < s->samples; ++b) {
    const double* const own = sums.data() + b * call.chunks;
    errors[b] = sum_of(call.chunks, [own](int64_t i) { return own[i]; }) / s->size;
    means[b] = static_cast<float>(errors[b]);
    if (factor) errors[b] *= factor[b];
  }
  if (loss)
    *loss =
        static_cast<float>(sum_of(s->samples, [&](int64_t i) { return errors[i]; }) / s->samples);
  return PDC_OK;
}

int pdc_squared_gradient(const pdc_squared* s, const float* scale, int32_t scale_per_sample,
                         void* gradient) {
  if (!valid(*s)) return PDC_INVALID;
  pdc::SquaredCall call = call_of(*s);
  call.scale = scale;
  call.scale_stride = scale_per_sample ? 1 : 0;
  call.gradient = gradient;
  run(call, s->samples, pdc::kernels()->squared_gradient, kGradientCost);
  return PDC_OK;
}
