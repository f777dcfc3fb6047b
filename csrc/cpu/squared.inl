// SPDX-License-Identifier: Apache-2.0
// Squared errors and their gradient over a range of chunks.
#pragma once
#include "kernels.h"
#include "memory.inl"
#include "pydiffcore/squared.h"

namespace pdc {
namespace PDC_TARGET {
namespace {

constexpr int kVectors = kLanes / Lanes::words;

// Adds the squares of kLanes elements to their lanes.
PDC_HD void add_squares(const float* F, const float* target, Lanes::F* sums) {
  for (int v = 0; v < kVectors; ++v) {
    const int at = v * Lanes::words;
    const Lanes::F e = Lanes::load<Lanes::F>(F + at) - Lanes::load<Lanes::F>(target + at);
    sums[v] = sums[v] + e * e;
  }
}

float chunk_sum(const float* F, const float* target, int64_t n) {
  float lanes[kLanes] = {};
  if (n < kLanes) {
    for (int64_t i = 0; i < n; ++i) lanes[i] = squared_error(F[i], target[i]);
    return halved(lanes, n);
  }
  Lanes::F sums[kVectors] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) add_squares(F + i, target + i, sums);
  for (int v = 0; v < kVectors; ++v) Lanes::store(lanes + v * Lanes::words, sums[v]);
  for (; i < n; ++i) lanes[i % kLanes] = add(lanes[i % kLanes], squared_error(F[i], target[i]));
  return halved(lanes, n);
}

struct Chunk {
  int64_t sample, flat, length;
};

Chunk chunk_of(const SquaredCall& call, int64_t c) {
  const int64_t sample = c / call.chunks, first = (c - sample * call.chunks) * kChunk;
  const int64_t left = call.size - first;
  return {sample, sample * call.size + first, left < kChunk ? left : kChunk};
}

// F of a chunk as float: where it lies, or converted into the buffer.
const float* output_of(const SquaredCall& call, const Chunk& chunk, float* buffer) {
  if (call.dtype == PDC_FLOAT32) return static_cast<const float*>(call.F) + chunk.flat;
  load(call.dtype, call.F, chunk.flat, buffer, chunk.length);
  return buffer;
}

void chunk_gradient(const SquaredCall& call, const Chunk& chunk, const float* F) {
  float buffer[kChunk];
  const float* const target = call.target + chunk.flat;
  const float scale = call.scale[chunk.sample * call.scale_stride];
  const bool direct = call.dtype == PDC_FLOAT32;
  float* const to = direct ? static_cast<float*>(call.gradient) + chunk.flat : buffer;
  for (int64_t i = 0; i < chunk.length; ++i) to[i] = squared_gradient(F[i], target[i], scale);
  if (!direct) store(call.dtype, call.gradient, chunk.flat, buffer, chunk.length);
}

void squared_kernel(const SquaredCall& call, int64_t begin, int64_t end) {
  float buffer[kChunk];
  for (int64_t c = begin; c < end; ++c) {
    const Chunk chunk = chunk_of(call, c);
    const float* const F = output_of(call, chunk, buffer);
    call.sums[c] = chunk_sum(F, call.target + chunk.flat, chunk.length);
    if (call.gradient) chunk_gradient(call, chunk, F);
  }
}

void squared_gradient_kernel(const SquaredCall& call, int64_t begin, int64_t end) {
  float buffer[kChunk];
  for (int64_t c = begin; c < end; ++c) {
    const Chunk chunk = chunk_of(call, c);
    chunk_gradient(call, chunk, output_of(call, chunk, buffer));
  }
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
