// SPDX-License-Identifier: Apache-2.0
// What a program makes of a table, on every processor: rows in the state's type, and checks.
#pragma once
#include <initializer_list>

#include "pydiffcore/capi.h"
#include "pydiffcore/row.h"

namespace pdc {
namespace PDC_TARGET {

inline int64_t item_bytes(int dtype) {
  static const int64_t bytes[] = {4, 8, 2, 2, 1};
  return bytes[dtype];
}

template <class T>
Row<T> row_of(const pdc_table& t, int r) {
  Row<T> row = {};
  const int K = t.registers, M = t.draws;
  row.registers_in = t.registers_in[r];
  row.registers_out = t.registers_out[r];
  row.draws = t.draws_of_row[r];
  for (int j = 0; j < K; ++j) {
    row.source[j] = t.source ? t.source[r * K + j] : j;
    row.target[j] = t.target ? t.target[r * K + j] : j;
    for (int k = 0; k < K; ++k) row.A[j][k] = static_cast<T>(t.A[(r * K + j) * K + k]);
    for (int m = 0; m < M; ++m) row.S[j][m] = static_cast<T>(t.S[(r * K + j) * M + m]);
    row.f[j] = static_cast<T>(t.f[r * K + j]);
    row.d[j] = t.clip ? static_cast<T>(t.d[r * K + j]) : 0;
    row.clipped |= row.d[j] != 0;
  }
  if (t.clip) {
    row.c_skip = static_cast<T>(t.c_skip[r]);
    row.c_out = static_cast<T>(t.c_out[r]);
    row.low = static_cast<T>(t.low);
    row.high = static_cast<T>(t.high);
  }
  row.c_in = static_cast<T>(t.c_in[r]);
  for (int m = 0; m < M; ++m) {
    row.stream[m] = t.stream[r * M + m];
    row.purpose[m] = t.purpose[r * M + m];
  }
  return row;
}

// Whether the first of K planes is 0, which a clip reads in any row, and `count` are the state's,
// none twice.
inline bool planes(const int32_t* plane, int count, int K) {
  if (!plane) return true;
  uint32_t seen = 1;
  for (int k = 1; k < count; ++k) {
    if (plane[k] < 1 || plane[k] >= K || seen >> plane[k] & 1) return false;
    seen |= 1u << plane[k];
  }
  return plane[0] == 0;
}

inline bool valid(const pdc_table& t, const pdc_tensors& x) {
  if (t.rows < 1 || t.registers < 1 || t.registers > kMaxRegisters || t.draws < 0 ||
      t.draws > kMaxDraws || x.samples < 0 || x.size < 0)
    return false;
  if (x.state_dtype != PDC_FLOAT32 && x.state_dtype != PDC_FLOAT64) return false;
  if (x.input_dtype < PDC_FLOAT32 || x.input_dtype > PDC_FLOAT16) return false;
  if (x.channels < 0 || (x.channels > 1 && (x.size % x.channels || x.size >> 31))) return false;
  for (int r = 0; r < t.rows; ++r)
    if (t.registers_in[r] < 0 || t.registers_in[r] > t.registers || t.registers_out[r] < 1 ||
        t.registers_out[r] > t.registers || t.draws_of_row[r] < 0 || t.draws_of_row[r] > t.draws ||
        !planes(t.source ? t.source + r * t.registers : nullptr, t.registers_in[r], t.registers) ||
        !planes(t.target ? t.target + r * t.registers : nullptr, t.registers_out[r], t.registers))
      return false;
  return true;
}

// Channels of the network's tensors where they are stored last, 0 where that is the state's order.
inline int64_t channels_last(const pdc_tensors& x) {
  return x.channels > 1 && x.size > x.channels ? x.channels : 0;
}

inline bool is_float(int dtype) { return dtype >= PDC_FLOAT32 && dtype <= PDC_FLOAT16; }

inline bool valid(const pdc_corruption& c) {
  return c.samples >= 0 && c.size >= 0 && is_float(c.input_dtype) &&
         (is_float(c.image_dtype) || c.image_dtype == PDC_UINT8);
}

inline bool apart(const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
  const uintptr_t a0 = reinterpret_cast<uintptr_t>(a), b0 = reinterpret_cast<uintptr_t>(b);
  return a0 + a_bytes <= b0 || b0 + b_bytes <= a0;
}

// What a row writes, and whether the table has weights of guidance.
struct Written {
  const void *state, *input;
  int64_t state_bytes, input_bytes, register_bytes;
  bool guided;

  bool apart_from(const void* x, int64_t bytes) const {
    return apart(x, bytes, state, state_bytes) && apart(x, bytes, input, input_bytes);
  }
  // F and unconditional may be the input itself: each element is read before it is written.
  bool readable(const void* F) const {
    return !F || apart_from(F, input_bytes) ||
           (F == input && apart(F, input_bytes, state, state_bytes));
  }
  int check(const void* F, const void* unconditional, const void* noise, const void* scale,
            int64_t draws) const {
    if (!readable(F) || !readable(unconditional)) return PDC_OVERLAP;
    for (const void* x : {noise, scale})
      if (x && !apart_from(x, draws * register_bytes)) return PDC_OVERLAP;
    return unconditional && (!F || !guided) ? PDC_INVALID : PDC_OK;
  }
};

inline Written written_of(const pdc_table& t, const pdc_tensors& x) {
  const int64_t elements = x.samples * x.size, plane = elements * item_bytes(x.state_dtype);
  return {x.state,
          x.input,
          t.registers * plane,
          elements * item_bytes(x.input_dtype),
          plane,
          t.guidance != nullptr};
}

}  // namespace PDC_TARGET
}  // namespace pdc
