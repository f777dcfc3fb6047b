// SPDX-License-Identifier: Apache-2.0
#include "kernel.cuh"
#include "kernels.h"

const void* pdc::row_kernel_float64(int input_dtype, int registers, RowKind kind) {
  using namespace pdc::cuda;
  switch (input_dtype) {
    case PDC_FLOAT64:
      return kernel_of<RowKernel, double, double>(registers, kind);
    case PDC_FLOAT32:
      return kernel_of<RowKernel, double, float>(registers, kind);
    case PDC_BFLOAT16:
      return kernel_of<RowKernel, double, bfloat16>(registers, kind);
    default:
      return kernel_of<RowKernel, double, float16>(registers, kind);
  }
}
