// SPDX-License-Identifier: Apache-2.0
// The kernels' addresses, for cudaLaunchKernel; each takes one launch by value. last: for a network
// whose tensors have their channels last.
#pragma once

namespace pdc {

const void* row_kernel_float32(int input_dtype, int registers, bool last);
const void* row_kernel_half(int input_dtype, int registers, bool last);
const void* row_kernel_float64(int input_dtype, int registers, bool last);
const void* normal_kernel();
const void* corruption_kernel();

}  // namespace pdc
