// SPDX-License-Identifier: Apache-2.0
// The device as the C interface needs it, in builds with CUDA and without.
#pragma once
#include "launch.h"

namespace pdc {

// Sets this thread's error text; returns PDC_CUDA_ERROR.
int fail(const char* text, const char* detail);
const char* last_error();

const char* architectures();
int devices();

// Addresses of the kernels; NULL in a build without CUDA.
const void* row_kernel_of(int state_dtype, int input_dtype, int registers, RowKind kind);
const void* normal_kernel_of();
const void* corruption_kernel_of();

// Loads a kernel onto a device, so that its first launch may be captured, and returns how many
// blocks keep the device busy.
int prepare(int device, const void* kernel, int32_t* blocks);

// launch: one of launch.h's structures.
int launch_kernel(int device, const void* kernel, const Grid& grid, void* stream,
                  const void* launch);

// The kernels' bodies on this processor, thread by thread.
void host_row(const RowLaunch& launch, int state_dtype, int input_dtype, int registers,
              RowKind kind);
void host_normal(const NormalLaunch& launch);
void host_corruption(const CorruptionLaunch& launch);

}  // namespace pdc
