// SPDX-License-Identifier: Apache-2.0
// Loads and stores of a tile with conversion.
#pragma once
#include "lanes.h"
#include "pydiffcore/types.h"

namespace pdc {
namespace PDC_TARGET {
namespace {

template <class E, class T>
void load_as(const E* from, T* to, int64_t n) {
  int64_t i = 0;
#ifdef __F16C__
  if constexpr (Same<E, float16>::value && Same<T, float>::value)
    for (; i + 8 <= n; i += 8)
      _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(from + i))));
#endif
  if constexpr (Same<E, double>::value) {
    for (; i < n; ++i) to[i] = static_cast<T>(from[i]);
  } else {
    for (; i < n; ++i) to[i] = to_float(from[i]);
  }
}

template <class E, class T>
void store_as(const T* from, E* to, int64_t n) {
  int64_t i = 0;
#ifdef __F16C__
  if constexpr (Same<E, float16>::value && Same<T, float>::value)
    for (; i + 8 <= n; i += 8)
      _mm_storeu_si128((__m128i*)(to + i),
                       _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  if constexpr (Same<E, double>::value) {
    for (; i < n; ++i) to[i] = static_cast<E>(from[i]);
  } else if constexpr (!Same<E, uint8_t>::value) {
    for (; i < n; ++i) from_float(static_cast<float>(from[i]), to + i);
  }
}

// n elements from index `first` of a tensor.
template <class T>
void load(int dtype, const void* from, int64_t first, T* to, int64_t n) {
  with_type(dtype, [&](auto type) {
    using E = typename decltype(type)::type;
    load_as(static_cast<const E*>(from) + first, to, n);
  });
}
template <class T>
void store(int dtype, void* to, int64_t first, const T* from, int64_t n) {
  with_type(dtype, [&](auto type) {
    using E = typename decltype(type)::type;
    store_as(from, static_cast<E*>(to) + first, n);
  });
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
