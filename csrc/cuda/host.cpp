// SPDX-License-Identifier: Apache-2.0
// The kernels' bodies compiled for this processor and run block by block, thread by thread.
#define PDC_TARGET cuda_host
#include "device.h"
#include "draw_body.h"
#include "row_body.h"

namespace pdc {
namespace cuda_host {
namespace {

using RowBody = void (*)(const RowLaunch&, Thread);

template <int K, class T, class E, RowKind kind>
void row_thread(const RowLaunch& launch, Thread thread) {
  row_of_kind<K, T, E, kind>(launch, thread);
}

struct HostRow {
  template <int K, class T, class E, RowKind kind>
  static RowBody of() {
    return row_thread<K, T, E, kind>;
  }
};

RowBody body_of(int state_dtype, int input_dtype, int registers, RowKind kind) {
  RowBody body = nullptr;
  with_type(input_dtype, [&](auto type) {
    using E = typename decltype(type)::type;
    if constexpr (!Same<E, uint8_t>::value)
      body = state_dtype == PDC_FLOAT32 ? kernel_of<HostRow, float, E>(registers, kind)
                                        : kernel_of<HostRow, double, E>(registers, kind);
  });
  return body;
}

template <class Launch, class Body>
void every_thread(const Launch& launch, Body body) {
  for (int32_t block = 0; block < launch.grid.blocks; ++block)
    for (int32_t thread = 0; thread < launch.grid.threads; ++thread)
      body(launch, Thread{block, thread});
}

}  // namespace
}  // namespace cuda_host

void host_row(const RowLaunch& launch, int state_dtype, int input_dtype, int registers,
              RowKind kind) {
  cuda_host::every_thread(launch, cuda_host::body_of(state_dtype, input_dtype, registers, kind));
}
void host_normal(const NormalLaunch& launch) {
  cuda_host::every_thread(launch, [](const NormalLaunch& l, cuda_host::Thread thread) {
    cuda_host::normal_body(l, thread);
  });
}
void host_corruption(const CorruptionLaunch& launch) {
  cuda_host::every_thread(launch, [](const CorruptionLaunch& l, cuda_host::Thread thread) {
    cuda_host::corruption_body(l, thread);
  });
}

}  // namespace pdc
