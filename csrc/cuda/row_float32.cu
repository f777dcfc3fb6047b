// SPDX-License-Identifier: Apache-2.0
#include "kernel.cuh"
#include "kernels.h"

const void* pdc::row_kernel_float32(int input_dtype, int registers, RowKind kind) {
  using namespace pdc::cuda;
  return input_dtype == PDC_FLOAT32 ? kernel_of<RowKernel, float, float>(registers, kind)
                                    : kernel_of<RowKernel, float, double>(registers, kind);
}
