// SPDX-License-Identifier: Apache-2.0
// Gradients' squares and steps of AdamW over a range of chunks.
#pragma once
#include "kernels.h"
#include "lanes.h"
#include "pydiffcore/adamw.h"
#include "squared.inl"

namespace pdc {
namespace PDC_TARGET {
namespace {

enum Row { kGradients, kWeights, kFirst, kSecond, kSteps, kAverages };

// Part of one tensor.
struct Part {
  int64_t tensor, first, length;
};

float* part_of(const WeightsCall& call, int row, const Part& part) {
  float* const tensor = call.tensors[row * call.count + part.tensor];
  return tensor ? tensor + part.first : nullptr;
}

// The tensor that chunk c lies in: the last whose first chunk is not after it.
int64_t tensor_of(const WeightsCall& call, int64_t c) {
  int64_t low = 0, high = call.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (call.first_chunk[middle] <= c ? low : high) = middle;
  }
  return low;
}

// Calls work(part) for each chunk of [begin, end).
template <class Work>
PDC_HD void for_parts(const WeightsCall& call, int64_t begin, int64_t end, Work work) {
  int64_t tensor = begin < end ? tensor_of(call, begin) : 0;
  for (int64_t c = begin; c < end; ++c) {
    while (call.first_chunk[tensor + 1] <= c) ++tensor;
    const int64_t first = (c - call.first_chunk[tensor]) * kChunk;
    const int64_t left = call.sizes[tensor] - first;
    work(c, Part{tensor, first, left < kChunk ? left : kChunk});
  }
}

float squares(const float* g, int64_t n) {
  float lanes[kLanes] = {};
  Lanes::F sums[kVectors] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int v = 0; v < kVectors; ++v) {
      const Lanes::F e = Lanes::load<Lanes::F>(g + i + v * Lanes::words);
      sums[v] = sums[v] + e * e;
    }
  for (int v = 0; v < kVectors; ++v) Lanes::store(lanes + v * Lanes::words, sums[v]);
  for (; i < n; ++i) lanes[i % kLanes] = add(lanes[i % kLanes], mul(g[i], g[i]));
  return halved(lanes, kLanes);
}

void gradient_squares_kernel(const WeightsCall& call, int64_t begin, int64_t end) {
  for_parts(call, begin, end, [&](int64_t c, const Part& part) {
    const float* const g = part_of(call, kGradients, part);
    call.sums[c] = g ? squares(g, part.length) : 0;
  });
}

AdamW<Lanes::F> vectors_of(const WeightStep& s) {
  return {Lanes::set(s.clip),           Lanes::set(s.decay),
          Lanes::set(s.towards_first),  Lanes::set(s.beta2),
          Lanes::set(s.towards_second), Lanes::set(s.rate),
          Lanes::set(s.root),           Lanes::set(s.eps)};
}

void step(const WeightStep& s, int64_t n, const float* g, float* w, float* m, float* v) {
  const AdamW<Lanes::F> wide = vectors_of(s);
  int64_t i = 0;
  for (; i + Lanes::words <= n; i += Lanes::words) {
    Lanes::F weight = Lanes::load<Lanes::F>(w + i), first = Lanes::load<Lanes::F>(m + i),
             second = Lanes::load<Lanes::F>(v + i);
    adamw<Lanes>(wide, Lanes::load<Lanes::F>(g + i), &weight, &first, &second);
    Lanes::store(w + i, weight);
    Lanes::store(m + i, first);
    Lanes::store(v + i, second);
  }
  const AdamW<float> one = {s.clip,           s.decay, s.towards_first, s.beta2,
                            s.towards_second, s.rate,  s.root,          s.eps};
  for (; i < n; ++i) adamw<Scalar>(one, g[i], w + i, m + i, v + i);
}

void average(float* to, const float* w, int64_t n, double beta) {
  const float kept = static_cast<float>(beta), towards = static_cast<float>(1 - beta);
  const bool near = towards < 0.5f;
  for (int64_t i = 0; i < n; ++i) to[i] = averaged(to[i], w[i], kept, towards, near);
}

void adamw_kernel(const WeightsCall& call, int64_t begin, int64_t end) {
  for_parts(call, begin, end, [&](int64_t, const Part& part) {
    const float* const g = part_of(call, kGradients, part);
    float* const w = part_of(call, kWeights, part);
    if (g)
      step(call.steps[part.tensor], part.length, g, w, part_of(call, kFirst, part),
           part_of(call, kSecond, part));
    for (int64_t k = 0; k < call.averages; ++k)
      if (float* const to = part_of(call, kAverages + static_cast<int>(k), part))
        average(to, w, part.length, call.beta[k]);
  });
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
