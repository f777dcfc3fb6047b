// SPDX-License-Identifier: Apache-2.0
// The one switch over memory types.
#pragma once
#include "capi.h"
#include "convert.h"

namespace pdc {
namespace PDC_TARGET {

template <class E>
struct Type {
  using type = E;
};

template <class A, class B>
struct Same {
  static constexpr bool value = false;
};
template <class A>
struct Same<A, A> {
  static constexpr bool value = true;
};

// Calls f with the memory type of a code.
template <class Function>
PDC_HD void with_type(int dtype, Function f) {
  switch (dtype) {
    case PDC_FLOAT32:
      return f(Type<float>());
    case PDC_FLOAT64:
      return f(Type<double>());
    case PDC_BFLOAT16:
      return f(Type<bfloat16>());
    case PDC_FLOAT16:
      return f(Type<float16>());
    case PDC_UINT8:
      return f(Type<uint8_t>());
    default:
      return;
  }
}

}  // namespace PDC_TARGET
}  // namespace pdc
