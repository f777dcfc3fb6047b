// SPDX-License-Identifier: Apache-2.0
#include "parallel.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>

namespace pdc {
namespace {

constexpr double kWorthWaking = 12000;

std::atomic<bool> pool_started{false}, pool_lost{false};

// The child of a fork has no worker threads, and libgomp waits for them forever.
void after_fork() {
  if (pool_started.load()) pool_lost.store(true);
}

void note_pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, after_fork);
  (void)registered;
  pool_started.store(true, std::memory_order_relaxed);
}

}  // namespace

int threads() { return pool_lost.load() ? 1 : omp_get_max_threads(); }

void parallel_for(int64_t count, double work, void (*body)(void*, int64_t, int64_t),
                  void* context) {
  const int wanted = work < kWorthWaking || omp_in_parallel() ? 1 : threads();
  if (wanted <= 1 || count <= 1) return body(context, 0, count);
  note_pool();
#pragma omp parallel num_threads(wanted)
  {
    const int64_t team = omp_get_num_threads(), part = omp_get_thread_num();
    const int64_t begin = count * part / team, end = count * (part + 1) / team;
    if (begin < end) body(context, begin, end);
  }
}

}  // namespace pdc
