// SPDX-License-Identifier: Apache-2.0
#include "kernel.cuh"
#include "kernels.h"

const void* pdc::row_kernel_half(int input_dtype, int registers, RowKind kind) {
  using namespace pdc::cuda;
  return input_dtype == PDC_BFLOAT16 ? kernel_of<RowKernel, float, bfloat16>(registers, kind)
                                     : kernel_of<RowKernel, float, float16>(registers, kind);
}
