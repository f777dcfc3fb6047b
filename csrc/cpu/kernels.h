// SPDX-License-Identifier: Apache-2.0
// What every instruction set provides: functions over a range of tiles or chunks, and their
// operands.
#pragma once
#include <stdint.h>

namespace pdc {

// Work is cut into tiles that start on a Philox block and whose operands stay in the first cache:
// parts of one sample, or as many whole small samples as fill one.
constexpr int kTile = 512;

// A block is some pixels of one sample in up to kChannels channels at a time.
constexpr int kBlock = 2048, kChannels = 64;

struct Layout {
  int64_t samples, size;
  int64_t tiles;             // of the whole batch
  int64_t tiles_per_sample;  // 1 when samples are grouped
  int64_t group;             // samples of a tile, 1 when a sample has many tiles
  int64_t length;            // elements of a sample in a tile
  int64_t channels;          // of a network that has them last: a tile is then a block, or 0
};

struct NormalCall {
  Layout layout;
  const uint64_t* seeds;
  uint32_t purpose, stream;
  int dtype;
  void* out;
};

struct RowCall {
  Layout layout;
  const uint64_t* seeds;
  const void* row;         // Row<float> or Row<double> of the target's namespace: one layout
  const double* guidance;  // w, or w of each sample; NULL: not guided
  int64_t guidance_stride;
  int state_dtype, input_dtype;
  void* state;
  void* input;
  const void* F;
  const void* unconditional;
  const void* noise;
  const void* scale;  // factors of the draws' elements; NULL: 1
  // Rows of segments: `row` and `guidance` are then those of row 0.
  const int32_t* rows;
  int64_t segments;
  int64_t guidance_row;
};

struct CorruptionCall {
  Layout layout;
  const uint64_t* seeds;
  uint32_t purpose, stream;
  int image_dtype, input_dtype;
  const void* images;
  const float* coefficients;
  void* input;
  float* target;
};

// Squared errors of samples in chunks of squared.h, with the sums of each chunk; and the gradient,
// (F − target) times the sample's scale, or that alone.
struct SquaredCall {
  int64_t size, chunks;  // of a sample
  int dtype;             // of F and its gradient
  const void* F;
  const float* target;
  double* sums;
  const float* scale;
  int64_t scale_stride;  // 0: one scale for all samples
  void* gradient;
};

// A step of AdamW on one tensor; the letters are those of adamw.h.
struct WeightStep {
  float clip, decay, towards_first, beta2, towards_second, rate, root, eps;
};

// Weights in chunks of squared.h, first_chunk[count + 1] of each tensor; rows of tensors as in
// pdc_weights.
struct WeightsCall {
  int64_t count, averages;
  const int64_t* sizes;
  const int64_t* first_chunk;
  float* const* tensors;
  double* sums;             // of each chunk's squared gradients
  const WeightStep* steps;  // of each tensor
  const double* beta;       // of each average
};

// Each works on tiles or chunks [begin, end). The row returns whether F held a value that is not
// finite.
struct Kernels {
  const char* name;
  void (*normal)(const NormalCall&, int64_t begin, int64_t end);
  bool (*row)(const RowCall&, int64_t begin, int64_t end);
  void (*corrupt)(const CorruptionCall&, int64_t begin, int64_t end);
  void (*squared)(const SquaredCall&, int64_t begin, int64_t end);
  void (*squared_gradient)(const SquaredCall&, int64_t begin, int64_t end);
  void (*gradient_squares)(const WeightsCall&, int64_t begin, int64_t end);
  void (*adamw)(const WeightsCall&, int64_t begin, int64_t end);
};

Layout layout_of(int64_t samples, int64_t size);
Layout layout_of_channels(int64_t samples, int64_t size, int64_t channels);
Layout layout_of_segments(int64_t samples, int64_t size, int64_t segments);

// The kernels in use, NULL when PYDIFFCORE_TARGET names a target that cannot run here.
const Kernels* kernels();

}  // namespace pdc
