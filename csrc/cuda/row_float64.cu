// SPDX-License-Identifier: Apache-2.0
#include "kernel.cuh"
#include "kernels.h"

const void* pdc::row_kernel_float64(int input_dtype, int registers) {
  using namespace pdc::cuda;
  switch (input_dtype) {
    case PDC_FLOAT64:
      return kernel_of<RowKernel, double, double>(registers);
    case PDC_FLOAT32:
      return kernel_of<RowKernel, double, float>(registers);
    case PDC_BFLOAT16:
      return kernel_of<RowKernel, double, bfloat16>(registers);
    default:
      return kernel_of<RowKernel, double, float16>(registers);
  }
}
