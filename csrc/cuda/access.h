// SPDX-License-Identifier: Apache-2.0
// How the four elements of a quad are read, written and converted.
#pragma once
#include "pydiffcore/types.h"

#ifdef __CUDACC__
#define PDC_UNROLL _Pragma("unroll")
#define PDC_NO_UNROLL _Pragma("unroll 1")
#else
#define PDC_UNROLL _Pragma("GCC unroll 8")
#define PDC_NO_UNROLL
#endif

namespace pdc {
namespace PDC_TARGET {

struct Place {
  int64_t flat;  // the first element's index in the batch
  int n;         // elements of the quad
  bool whole;    // all four, and aligned: a constant of the loop that is compiled for it
};

// Accesses are of 16 bytes, or of the whole quad where it is smaller.
template <class E>
struct alignas(sizeof(E) < 4 ? 4 * sizeof(E) : 16) Quad {
  E v[4];
};

#ifdef __CUDA_ARCH__
// The compiler splits the copy of a structure, and of its own vectors, into elements and does not
// always join them again; what it leaves whole, __ldca and __stwb, becomes accesses that are
// ordered with others (STRONG.SM).
PDC_HD void load_words(const void* from, uint32_t (&w)[4]) {
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
               : "l"(__cvta_generic_to_global(from)));
}
PDC_HD void load_words(const void* from, uint32_t (&w)[2]) {
  asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
               : "=r"(w[0]), "=r"(w[1])
               : "l"(__cvta_generic_to_global(from)));
}
PDC_HD void load_words(const void* from, uint32_t (&w)[1]) {
  asm volatile("ld.global.u32 %0, [%1];" : "=r"(w[0]) : "l"(__cvta_generic_to_global(from)));
}
PDC_HD void store_words(void* to, const uint32_t (&w)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]));
}
PDC_HD void store_words(void* to, const uint32_t (&w)[2]) {
  asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "r"(w[0]),
               "r"(w[1]));
}
#else
// As a device would.
template <class E>
PDC_HD void fault_unless_aligned(const E* address) {
  if (reinterpret_cast<uintptr_t>(address) % alignof(Quad<E>)) __builtin_trap();
}
#endif

template <class E>
PDC_HD Quad<E> load_whole(const E* from) {
#ifdef __CUDA_ARCH__
  constexpr int count = sizeof(Quad<E>) / alignof(Quad<E>);
  uint32_t words[count][alignof(Quad<E>) / 4];
  PDC_UNROLL
  for (int i = 0; i < count; ++i)
    load_words(reinterpret_cast<const char*>(from) + sizeof words[0] * i, words[i]);
  Quad<E> q;
  memcpy(&q, words, sizeof q);
  return q;
#else
  fault_unless_aligned<E>(from);
  return *reinterpret_cast<const Quad<E>*>(from);
#endif
}
template <class E>
PDC_HD void store_whole(E* to, const Quad<E>& q) {
#ifdef __CUDA_ARCH__
  constexpr int count = sizeof(Quad<E>) / alignof(Quad<E>);
  uint32_t words[count][alignof(Quad<E>) / 4];
  memcpy(words, &q, sizeof q);
  PDC_UNROLL
  for (int i = 0; i < count; ++i)
    store_words(reinterpret_cast<char*>(to) + sizeof words[0] * i, words[i]);
#else
  fault_unless_aligned<E>(to);
  *reinterpret_cast<Quad<E>*>(to) = q;
#endif
}

template <class E>
PDC_HD Quad<E> load(const E* tensor, Place place) {
  const E* const from = tensor + place.flat;
  if (place.whole) return load_whole(from);
  Quad<E> q = {};
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < place.n) q.v[i] = from[i];
  return q;
}
template <class E>
PDC_HD void store(E* tensor, const Quad<E>& q, Place place) {
  E* const to = tensor + place.flat;
  if (place.whole) return store_whole(to, q);
  PDC_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < place.n) to[i] = q.v[i];
}

// Memory types to the arithmetic's and back.
template <class T, class E>
PDC_HD Quad<T> widen(const Quad<E>& from) {
  Quad<T> to;
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (Same<E, double>::value)
      to.v[i] = static_cast<T>(from.v[i]);
    else
      to.v[i] = to_float(from.v[i]);
  }
  return to;
}
template <class E, class T>
PDC_HD Quad<E> narrow(const Quad<T>& from) {
  Quad<E> to = {};
  PDC_UNROLL
  for (int i = 0; i < 4; ++i) {
    if constexpr (Same<E, double>::value)
      to.v[i] = from.v[i];
    else if constexpr (!Same<E, uint8_t>::value)
      from_float(static_cast<float>(from.v[i]), &to.v[i]);
  }
  return to;
}

// Memory that no launch changes: its loads may move out of loops.
template <class E>
PDC_HD E constant(const E* from) {
#ifdef __CUDA_ARCH__
  return __ldg(from);
#else
  return *from;
#endif
}

}  // namespace PDC_TARGET
}  // namespace pdc
