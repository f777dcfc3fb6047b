// SPDX-License-Identifier: Apache-2.0
// What a kernel is launched with. Plain data: the host fills it, kernels take it by value, and the
// memory it points to is the device's.
#pragma once
#include <stdint.h>

namespace pdc {

constexpr int kThreads = 256;

// Work is cut into quads: the four elements of one Philox block, of which the last of a sample may
// lie past its end. A launch of any shape walks over all quads of a batch.
struct Grid {
  int64_t samples, size;
  int64_t quads;  // of a sample
  // One stride of the whole launch: in samples and quads, and in elements of the batch.
  int64_t sample_step, quad_step, flat_step;
  int32_t blocks, threads;
};

// Of a program whose rows are counted on the device: a captured launch then runs the next row each
// time that it is replayed.
struct Counter {
  int64_t row;
  uint32_t arrived;  // blocks that are done with the row
  uint32_t unused;
};

// What a row's kernel is for.
enum RowKind { kInOrder, kChannelsLast, kSegments };

struct RowLaunch {
  Grid grid;
  const void* rows;      // Row<T> [row_count]
  const void* guidance;  // T, or NULL
  const uint64_t* seeds;
  int32_t* first_bad;  // of each sample: 1 + the first row whose F was not finite, or 0
  Counter* counter;
  int64_t row_count;
  int64_t row;                            // -1: the counter's
  int64_t guidance_row, guidance_sample;  // strides
  void* state;
  int64_t plane;  // from one register or draw to the next
  void* input;
  const void* F;
  const void* unconditional;
  const void* noise;
  const void* scale;
  bool whole;  // every quad has four elements and is aligned in every operand
  // Of input, F and unconditional where these have their channels last, or 0. Whether quads are
  // whole is then asked of the other operands alone.
  uint32_t channels, pixels;
  // Where each segment of a sample is at a row of its own: [samples][segments], or NULL.
  const int32_t* segment_rows;
  int64_t segments, segment_size;
};

struct NormalLaunch {
  Grid grid;
  const uint64_t* seeds;
  uint32_t purpose, stream;
  void* out;
  int32_t dtype;
  bool whole;
};

struct CorruptionLaunch {
  Grid grid;
  const uint64_t* seeds;
  uint32_t purpose, stream;
  const void* images;
  const float* coefficients;
  void* input;
  float* target;
  int32_t image_dtype, input_dtype;
  bool whole;
};

Grid grid_of(int64_t samples, int64_t size, int32_t blocks, int32_t threads);

}  // namespace pdc
