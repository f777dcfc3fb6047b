// SPDX-License-Identifier: Apache-2.0
// What a program makes of a table, on every processor: checks, rows in the state's type.
#pragma once
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

inline bool valid(const pdc_table& t, const pdc_tensors& x) {
  if (t.rows < 1 || t.registers < 1 || t.registers > kMaxRegisters || t.draws < 0 ||
      t.draws > kMaxDraws || x.samples < 0 || x.size < 0)
    return false;
  if (x.state_dtype != PDC_FLOAT32 && x.state_dtype != PDC_FLOAT64) return false;
  if (x.input_dtype < PDC_FLOAT32 || x.input_dtype > PDC_FLOAT16) return false;
  if (x.channels < 0 || (x.channels > 1 && (x.size % x.channels || x.size >> 31))) return false;
  for (int r = 0; r < t.rows; ++r)
    if (t.registers_in[r] < 0 || t.registers_in[r] > t.registers || t.registers_out[r] < 1 ||
        t.registers_out[r] > t.registers || t.draws_of_row[r] < 0 || t.draws_of_row[r] > t.draws)
      return false;
  return true;
}

// Channels of the network's tensors where they are stored last, 0 where that is the state's order.
inline int64_t channels_last(const pdc_tensors& x) {
  return x.channels > 1 && x.size > x.channels ? x.channels : 0;
}

inline bool apart(const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
  const uintptr_t a0 = reinterpret_cast<uintptr_t>(a), b0 = reinterpret_cast<uintptr_t>(b);
  return a0 + a_bytes <= b0 || b0 + b_bytes <= a0;
}

}  // namespace PDC_TARGET
}  // namespace pdc
