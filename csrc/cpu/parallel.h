// SPDX-License-Identifier: Apache-2.0
// A range of tiles over the threads of the process's OpenMP pool.
#pragma once
#include <stdint.h>

namespace pdc {

int threads();

// body(context, begin, end) over [0, count) in one contiguous part per thread, on the calling
// thread alone when `work`, a rough cost in nanoseconds, would not repay waking others.
void parallel_for(int64_t count, double work,
                  void (*body)(void* context, int64_t begin, int64_t end), void* context);

// kernel(call, begin, end) likewise.
template <class Call>
void run_kernel(void (*kernel)(const Call&, int64_t, int64_t), const Call& call, int64_t count,
                double work) {
  struct Bound {
    void (*kernel)(const Call&, int64_t, int64_t);
    const Call* call;
  } bound = {kernel, &call};
  parallel_for(
      count, work,
      [](void* context, int64_t begin, int64_t end) {
        const Bound& bound = *static_cast<const Bound*>(context);
        bound.kernel(*bound.call, begin, end);
      },
      &bound);
}

}  // namespace pdc
