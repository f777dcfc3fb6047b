// SPDX-License-Identifier: Apache-2.0
#include "parallel.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>

namespace pdc {
namespace {

// ns of estimated work; a parallel region of two threads costs 1 to 2 µs.
constexpr double kWorthWaking = 3000;

std::atomic<bool> forked{false};

// libgomp in a forked child waits forever for worker threads that only the parent has. Whether a
// parallel region ran before, here or in torch, cannot be asked; so every child computes alone.
const int registered = pthread_atfork(nullptr, nullptr, [] { forked.store(true); });

}  // namespace

int threads() { return forked.load() ? 1 : omp_get_max_threads(); }

void parallel_for(int64_t count, double work, void (*body)(void*, int64_t, int64_t),
                  void* context) {
  const int wanted = work < kWorthWaking || omp_in_parallel() ? 1 : threads();
  if (wanted <= 1 || count <= 1) return body(context, 0, count);
#pragma omp parallel num_threads(wanted)
  {
    const int64_t team = omp_get_num_threads(), part = omp_get_thread_num();
    const int64_t begin = count * part / team, end = count * (part + 1) / team;
    if (begin < end) body(context, begin, end);
  }
}

}  // namespace pdc
