// SPDX-License-Identifier: Apache-2.0
// One row over a range of tiles: operands that are not in the state's type, or are combined first,
// go through buffers in the first cache; then one loop reads every operand and writes every result.
#pragma once
#include "kernels.h"
#include "memory.inl"
#include "noise.inl"
#include "pydiffcore/row.h"

namespace pdc {
namespace PDC_TARGET {
namespace {

// No __restrict: input may be F.
template <class T>
struct Operands {
  T* reg;         // plane 0 of the state
  int64_t plane;  // from one plane to the next
  const T* F;     // NULL in a row that follows no network call
  const T* extra[kMaxDraws + 1];
  T g[kMaxRegisters][kMaxDraws + 1];  // coefficients of extra
  int extras;
  T* input;  // a scratch tile when the row writes none
  int64_t n;
};

// Returns the sign bit set when F is not finite. Arrays alias only as a whole (F and input), never
// shifted, which is what ivdep promises.
template <int KIN, int KOUT, int EXTRA, class T>
uint64_t fused(const Row<T>& row, const Operands<T>& o) {
  T A[KOUT][KIN], f[KOUT], g[KOUT][EXTRA + 1];
  for (int j = 0; j < KOUT; ++j) {
    for (int k = 0; k < KIN; ++k) A[j][k] = row.A[j][k];
    for (int m = 0; m < EXTRA; ++m) g[j][m] = o.g[j][m];
    f[j] = row.f[j];
  }
  const T c_in = row.c_in;
  const T* from[KIN];
  T* to[KOUT];
  for (int k = 0; k < KIN; ++k) from[k] = o.reg + row.source[k] * o.plane;
  for (int j = 0; j < KOUT; ++j) to[j] = o.reg + row.target[j] * o.plane;
  T* const input = o.input;
  const T* const network = o.F;
  const T* const extra0 = o.extra[0];
  const T* const extra1 = o.extra[1];
  const int64_t n = o.n;
  decltype(not_finite(T())) bad = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    T reg[KIN], next[KOUT], extra[EXTRA + 1];
#pragma GCC unroll 8
    for (int k = 0; k < KIN; ++k) reg[k] = from[k][i];
    const T F = network[i];
    if (EXTRA > 0) extra[0] = extra0[i];
    if (EXTRA > 1) extra[1] = extra1[i];
#pragma GCC unroll 8
    for (int j = 0; j < KOUT; ++j) next[j] = combine<KIN, EXTRA>(A[j], f[j], g[j], reg, F, extra);
#pragma GCC unroll 8
    for (int j = 0; j < KOUT; ++j) to[j][i] = next[j];
    input[i] = mul(c_in, next[0]);
    bad |= not_finite(F);
  }
  return bad;
}

// Any number of registers, operand by operand; also rows that read no register or no F.
template <class T>
uint64_t general(const Row<T>& row, const Operands<T>& o) {
  T next[kMaxRegisters][kTile];
  const int64_t n = o.n;
  for (int j = 0; j < row.registers_out; ++j) {
    bool first = true;
    const auto term = [&](T c, const T* x) {
      T* sum = next[j];
      if (first) {
        for (int64_t i = 0; i < n; ++i) sum[i] = mul(c, x[i]);
      } else {
        for (int64_t i = 0; i < n; ++i) sum[i] = add(sum[i], mul(c, x[i]));
      }
      first = false;
    };
    for (int k = 0; k < row.registers_in; ++k) term(row.A[j][k], o.reg + row.source[k] * o.plane);
    if (o.F) term(row.f[j], o.F);
    for (int m = 0; m < o.extras; ++m) term(o.g[j][m], o.extra[m]);
    if (first)
      for (int64_t i = 0; i < n; ++i) next[j][i] = 0;
  }
  decltype(not_finite(T())) bad = 0;
  if (o.F)
    for (int64_t i = 0; i < n; ++i) bad |= not_finite(o.F[i]);
  for (int j = 0; j < row.registers_out; ++j)
    for (int64_t i = 0; i < n; ++i) o.reg[row.target[j] * o.plane + i] = next[j][i];
  for (int64_t i = 0; i < n; ++i) o.input[i] = mul(row.c_in, next[0][i]);
  return bad;
}

template <class T>
using Update = uint64_t (*)(const Row<T>&, const Operands<T>&);

template <int KIN, int KOUT, class T>
PDC_HD Update<T> with_extras(int extras) {
  switch (extras) {
    case 0:
      return fused<KIN, KOUT, 0, T>;
    case 1:
      return fused<KIN, KOUT, 1, T>;
    case 2:
      return fused<KIN, KOUT, 2, T>;
    default:
      return general<T>;
  }
}
template <int KIN, class T>
PDC_HD Update<T> with_registers_out(int registers_out, int extras) {
  switch (registers_out) {
    case 1:
      return with_extras<KIN, 1, T>(extras);
    case 2:
      return with_extras<KIN, 2, T>(extras);
    case 3:
      return with_extras<KIN, 3, T>(extras);
    case 4:
      return with_extras<KIN, 4, T>(extras);
    default:
      return general<T>;
  }
}
template <class T>
PDC_HD Update<T> update_of(const Row<T>& row, int extras, bool has_F) {
  if (!has_F) return general<T>;
  switch (row.registers_in) {
    case 1:
      return with_registers_out<1, T>(row.registers_out, extras);
    case 2:
      return with_registers_out<2, T>(row.registers_out, extras);
    case 3:
      return with_registers_out<3, T>(row.registers_out, extras);
    case 4:
      return with_registers_out<4, T>(row.registers_out, extras);
    default:
      return general<T>;
  }
}

// F of the tile in the state's type: the network's memory itself when nothing has to be done.
template <class T>
PDC_HD const T* network_output(const RowCall& call, const Tile& tile, T* buffer, T* second) {
  const int64_t n = tile.total();
  if (!call.F) return nullptr;
  const T* F = buffer;
  if (call.input_dtype == call.state_dtype) {
    F = static_cast<const T*>(call.F) + tile.flat;
  } else {
    load(call.input_dtype, call.F, tile.flat, buffer, n);
  }
  if (!call.unconditional) return F;
  load(call.input_dtype, call.unconditional, tile.flat, second, n);
  for (int64_t s = 0; s < tile.samples; ++s) {
    const T w = static_cast<T>(call.guidance[(tile.sample + s) * call.guidance_stride]);
    const int64_t first = s * tile.length;
    for (int64_t i = first; i < first + tile.length; ++i) buffer[i] = guide(F[i], second[i], w);
  }
  return buffer;
}

template <class T>
struct Buffers {
  T F[kTile], unconditional[kTile], Dc[kTile], input[kTile];
  T z[kMaxDraws][kNormals];
};

// The elements of draw m in an explicit stack of draws.
template <class T>
const T* plane(const RowCall& call, const Tile& tile, const void* draws, int m) {
  return static_cast<const T*>(draws) + m * call.layout.samples * call.layout.size + tile.flat;
}

template <class T>
PDC_HD const T* draw(const RowCall& call, const Tile& tile, const Row<T>& row, int m,
                     Buffers<T>* buffers) {
  if (call.noise) return plane<T>(call, tile, call.noise, m);
  T* const z = buffers->z[m];
  if constexpr (Same<T, float>::value) {
    normal_tile(z, tile, call.seeds, row.purpose[m], row.stream[m]);
  } else {
    float normals[kNormals];
    normal_tile(normals, tile, call.seeds, row.purpose[m], row.stream[m]);
    for (int64_t i = 0; i < tile.total(); ++i) z[i] = normals[i];
  }
  return z;
}

template <class T>
PDC_HD const T* scaled(const RowCall& call, const Tile& tile, const T* z, int m,
                       Buffers<T>* buffers) {
  const T* const scale = plane<T>(call, tile, call.scale, m);
  for (int64_t i = 0; i < tile.total(); ++i) buffers->z[m][i] = mul(scale[i], z[i]);
  return buffers->z[m];
}

template <class T>
PDC_HD void set_coefficients(const RowCall& call, const Row<T>& row, int clip, Operands<T>* o) {
  o->plane = call.layout.samples * call.layout.size;
  o->extras = clip + row.draws;
  for (int j = 0; j < row.registers_out; ++j) {
    o->g[j][0] = row.d[j];
    for (int m = 0; m < row.draws; ++m) o->g[j][clip + m] = row.S[j][m];
  }
}

template <class T>
bool rows(const RowCall& call, int64_t begin, int64_t end) {
  const Row<T>& row = *static_cast<const Row<T>*>(call.row);
  Buffers<T> buffers;
  Operands<T> o;
  const int clip = row.clipped && call.F;
  set_coefficients(call, row, clip, &o);
  const Update<T> update = update_of(row, o.extras, call.F != nullptr);
  const bool direct = row.c_in != 0 && call.input_dtype == call.state_dtype;
  uint64_t bad = 0;
  for (int64_t t = begin; t < end; ++t) {
    const Tile tile = tile_of(call.layout, t);
    o.n = tile.total();
    o.reg = static_cast<T*>(call.state) + tile.flat;
    o.F = network_output(call, tile, buffers.F, buffers.unconditional);
    if (clip) {
      for (int64_t i = 0; i < o.n; ++i) buffers.Dc[i] = clipped(o.reg[i], o.F[i], row);
      o.extra[0] = buffers.Dc;
    }
    for (int m = 0; m < row.draws; ++m) {
      o.extra[clip + m] = draw(call, tile, row, m, &buffers);
      if (call.scale) o.extra[clip + m] = scaled(call, tile, o.extra[clip + m], m, &buffers);
    }
    o.input = direct ? static_cast<T*>(call.input) + tile.flat : buffers.input;
    bad |= update(row, o);
    if (row.c_in != 0 && !direct) store(call.input_dtype, call.input, tile.flat, o.input, o.n);
  }
  return bad != 0;
}

}  // namespace
}  // namespace PDC_TARGET
}  // namespace pdc
