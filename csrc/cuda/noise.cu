// SPDX-License-Identifier: Apache-2.0
#include "kernel.cuh"
#include "kernels.h"

namespace pdc {
namespace cuda {

__global__ void __launch_bounds__(kThreads) normal_kernel(const NormalLaunch launch) {
  normal_body(launch, this_thread());
}
__global__ void __launch_bounds__(kThreads) corruption_kernel(const CorruptionLaunch launch) {
  corruption_body(launch, this_thread());
}

}  // namespace cuda
}  // namespace pdc

const void* pdc::normal_kernel() { return reinterpret_cast<const void*>(pdc::cuda::normal_kernel); }
const void* pdc::corruption_kernel() {
  return reinterpret_cast<const void*>(pdc::cuda::corruption_kernel);
}
