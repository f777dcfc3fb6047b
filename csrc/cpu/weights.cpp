// SPDX-License-Identifier: Apache-2.0
// The C interface of the optimiser: the gradients' norm, AdamW and averages.
#define PDC_TARGET weights_steps
#include <math.h>

#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "pydiffcore/capi.h"
#include "pydiffcore/squared.h"

namespace {

using namespace pdc::weights_steps;

constexpr double kSquareCost = 0.05, kStepCost = 0.4, kAverageCost = 0.1;  // ns per element
constexpr int kSteps = 4;                                                  // row of pdc_weights

void run(const pdc::WeightsCall& call, void (*kernel)(const pdc::WeightsCall&, int64_t, int64_t),
         double cost) {
  const int64_t chunks = call.first_chunk[call.count];
  pdc::run_kernel(kernel, call, chunks, cost * kChunk * static_cast<double>(chunks));
}

bool valid(const pdc_weights& w) {
  if (!pdc::kernels() || w.count < 0 || w.averages < 0) return false;
  for (int64_t i = 0; i < w.count; ++i)
    if (w.sizes[i] < 0) return false;
  return true;
}

std::vector<int64_t> chunks_of(const pdc_weights& w) {
  std::vector<int64_t> first(w.count + 1);
  for (int64_t i = 0; i < w.count; ++i)
    first[i + 1] = first[i] + (w.sizes[i] + kChunk - 1) / kChunk;
  return first;
}

pdc::WeightsCall call_of(const pdc_weights& w, const std::vector<int64_t>& first_chunk) {
  pdc::WeightsCall call = {};
  call.count = w.count;
  call.averages = w.averages;
  call.sizes = w.sizes;
  call.first_chunk = first_chunk.data();
  call.tensors = w.tensors;
  return call;
}

// Numbers of step t of a tensor.
pdc::WeightStep step_of(const pdc_adamw& a, double t) {
  return {static_cast<float>(a.clip),
          static_cast<float>(1 - a.rate * a.decay),
          static_cast<float>(1 - a.beta1),
          static_cast<float>(a.beta2),
          static_cast<float>(1 - a.beta2),
          static_cast<float>(a.rate / (1 - pow(a.beta1, t))),
          static_cast<float>(sqrt(1 - pow(a.beta2, t))),
          static_cast<float>(a.eps)};
}

// Counts the step of each tensor that has a gradient.
std::vector<pdc::WeightStep> counted(const pdc_weights& w, const pdc_adamw& a) {
  std::vector<pdc::WeightStep> steps(w.count);
  for (int64_t i = 0, last = -1; i < w.count; ++i) {
    if (!w.tensors[i]) continue;
    float* const t = w.tensors[kSteps * w.count + i];
    *t += 1;
    const bool known = last >= 0 && *w.tensors[kSteps * w.count + last] == *t;
    steps[i] = known ? steps[last] : step_of(a, *t);
    last = i;
  }
  return steps;
}

}  // namespace

int pdc_gradient_norm(const pdc_weights* w, double* norm) {
  if (!valid(*w)) return PDC_INVALID;
  const std::vector<int64_t> first_chunk = chunks_of(*w);
  pdc::WeightsCall call = call_of(*w, first_chunk);
  std::vector<double> sums(first_chunk[w->count]);
  call.sums = sums.data();
  run(call, pdc::kernels()->gradient_squares, kSquareCost);
  *norm = sqrt(sum_of(static_cast<int64_t>(sums.size()), [&](int64_t i) { return sums[i]; }));
  return PDC_OK;
}

int pdc_adamw_step(const pdc_weights* w, const pdc_adamw* a) {
  if (!valid(*w)) return PDC_INVALID;
  const std::vector<int64_t> first_chunk = chunks_of(*w);
  pdc::WeightsCall call = call_of(*w, first_chunk);
  const std::vector<pdc::WeightStep> steps = counted(*w, *a);
  call.steps = steps.data();
  call.beta = a->beta;
  run(call, pdc::kernels()->adamw, kStepCost + kAverageCost * static_cast<double>(w->averages));
  return PDC_OK;
}
