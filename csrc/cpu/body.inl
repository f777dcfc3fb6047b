// SPDX-License-Identifier: Apache-2.0
// The kernels, compiled once for each instruction set. No std templates: their instances would be
// weak symbols, of which the linker keeps one for all targets.
#include "corruption.inl"
#include "kernels.h"
#include "noise.inl"
#include "segments.inl"
#include "squared.inl"
#include "weights.inl"

namespace pdc {
namespace PDC_TARGET {

extern const Kernels kernels;
#define PDC_NAME_OF(target) #target
#define PDC_NAME(target) PDC_NAME_OF(target)
const Kernels kernels = {PDC_NAME(PDC_TARGET),    normal_kernel,  row_kernel,
                         corruption_kernel,       squared_kernel, squared_gradient_kernel,
                         gradient_squares_kernel, adamw_kernel};

}  // namespace PDC_TARGET
}  // namespace pdc
