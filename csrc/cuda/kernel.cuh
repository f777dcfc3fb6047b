// SPDX-License-Identifier: Apache-2.0
// The kernels over the bodies. Their addresses leave this directory, never their types.
#pragma once
#define PDC_TARGET cuda
#include "draw_body.h"
#include "row_body.h"

namespace pdc {
namespace cuda {

__device__ inline Thread this_thread() {
  return {static_cast<int32_t>(blockIdx.x), static_cast<int32_t>(threadIdx.x)};
}

// Blocks that a multiprocessor can hold, which bounds the registers of a thread from above: enough
// loads in flight without a spill.
template <class T>
constexpr int resident(int K, RowKind kind) {
  const bool wide = sizeof(T) == 8;
  if (kind != kInOrder) return K <= 2 ? (wide ? 2 : 3) : (wide ? 1 : 2);
  return wide ? (K == 1 ? 3 : K <= 4 ? 2 : 1) : (K <= 2 ? 4 : K <= 4 ? 3 : 2);
}

template <int K, class T, class E, RowKind kind>
__global__ void __launch_bounds__(kThreads, resident<T>(K, kind))
    row_kernel(const RowLaunch launch) {
  row_of_kind<K, T, E, kind>(launch, this_thread());
}

struct RowKernel {
  template <int K, class T, class E, RowKind kind>
  static const void* of() {
    return reinterpret_cast<const void*>(row_kernel<K, T, E, kind>);
  }
};

}  // namespace cuda
}  // namespace pdc
