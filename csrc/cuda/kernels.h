// SPDX-License-Identifier: Apache-2.0
// The kernels' addresses, for cudaLaunchKernel; each takes one launch by value.
#pragma once
#include "launch.h"

namespace pdc {

const void* row_kernel_float32(int input_dtype, int registers, RowKind kind);
const void* row_kernel_half(int input_dtype, int registers, RowKind kind);
const void* row_kernel_float64(int input_dtype, int registers, RowKind kind);
const void* normal_kernel();
const void* corruption_kernel();

}  // namespace pdc
