// SPDX-License-Identifier: Apache-2.0
// Normals, and training corruption, as each thread of a launch makes them.
#pragma once
#include "pydiffcore/corruption.h"
#include "quads.h"

namespace pdc {
namespace PDC_TARGET {

// Reads and writes of quads whose memory type is known at run time only.
template <class T>
PDC_HD Quad<T> load_typed(int dtype, const void* from, Place place) {
  Quad<T> x = {};
  with_type(dtype, [&](auto type) {
    using E = typename decltype(type)::type;
    x = widen<T>(load(static_cast<const E*>(from), place));
  });
  return x;
}
template <class T>
PDC_HD void store_typed(int dtype, void* to, const Quad<T>& x, Place place) {
  with_type(dtype, [&](auto type) {
    using E = typename decltype(type)::type;
    if constexpr (!Same<E, uint8_t>::value) store(static_cast<E*>(to), narrow<E>(x), place);
  });
}

PDC_HD void normal_quads(const NormalLaunch& l, Thread thread, bool whole) {
  for (Cursor at = first_quad(l.grid, thread); at.sample < l.grid.samples;
       at = next_quad(l.grid, at, whole)) {
    const uint64_t seed = constant(l.seeds + at.sample);
    const Quad<float> z = normal_quad(seed, l.purpose, l.stream, at.quad);
    store_typed(l.dtype, l.out, z, place_of(l.grid, at, whole));
  }
}

PDC_HD void normal_body(const NormalLaunch& l, Thread thread) {
  if (l.whole)
    normal_quads(l, thread, true);
  else
    normal_quads(l, thread, false);
}

PDC_HD void corruption_quads(const CorruptionLaunch& l, Thread thread, bool whole) {
  for (Cursor at = first_quad(l.grid, thread); at.sample < l.grid.samples;
       at = next_quad(l.grid, at, whole)) {
    const Place place = place_of(l.grid, at, whole);
    const Quad<float> x0 = load_typed<float>(l.image_dtype, l.images, place);
    const uint64_t seed = constant(l.seeds + at.sample);
    const Quad<float> z = normal_quad(seed, l.purpose, l.stream, at.quad);
    const float* const c = l.coefficients + 4 * at.sample;
    const Corruption coefficients = {constant(c), constant(c + 1), constant(c + 2),
                                     constant(c + 3)};
    Quad<float> input, target;
    PDC_UNROLL
    for (int i = 0; i < 4; ++i) {
      input.v[i] = corrupted_input(coefficients, x0.v[i], z.v[i]);
      target.v[i] = training_target(coefficients, x0.v[i], z.v[i]);
    }
    store_typed(l.input_dtype, l.input, input, place);
    store(l.target, target, place);
  }
}

PDC_HD void corruption_body(const CorruptionLaunch& l, Thread thread) {
  if (l.whole)
    corruption_quads(l, thread, true);
  else
    corruption_quads(l, thread, false);
}

}  // namespace PDC_TARGET
}  // namespace pdc
