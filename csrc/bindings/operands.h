// SPDX-License-Identifier: Apache-2.0
// A table and its tensors as Python hands them over.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <tuple>
#include <utility>

#include "pydiffcore/capi.h"

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// Keeps the arrays that the plain structures point into.
struct Operands {
  Array<int32_t> registers_in, registers_out, source, target, draws_of_row;
  Array<double> A, f, d, S, c_skip, c_out, c_in, weights;
  Array<uint32_t> stream, purpose;
  Array<uint64_t> seeds;
  pdc_table table = {};
  pdc_tensors tensors = {};

  explicit Operands(const py::tuple& arguments) {
    if (arguments.size() != 26) throw py::type_error("a program takes 26 operands");
    size_t at = 0;
    const auto next = [&] { return py::object(arguments[at++]); };
    const auto column = [&](auto& array) {
      array = next();
      return array.data();
    };
    table.registers = next().cast<int32_t>();
    table.draws = next().cast<int32_t>();
    table.registers_in = column(registers_in);
    table.registers_out = column(registers_out);
    table.source = column(source);
    table.target = column(target);
    table.draws_of_row = column(draws_of_row);
    table.rows = static_cast<int32_t>(registers_in.size());
    table.A = column(A);
    table.f = column(f);
    table.d = column(d);
    table.S = column(S);
    table.stream = column(stream);
    table.purpose = column(purpose);
    table.c_skip = column(c_skip);
    table.c_out = column(c_out);
    table.c_in = column(c_in);
    if (const py::object guidance = next(); !guidance.is_none()) {
      weights = guidance;
      table.guidance = weights.data();
      table.guidance_per_sample = weights.ndim() == 2;
    }
    if (const py::object clip = next(); !clip.is_none()) {
      std::tie(table.low, table.high) = clip.cast<std::pair<double, double>>();
      table.clip = 1;
    }
    tensors.samples = next().cast<int64_t>();
    tensors.size = next().cast<int64_t>();
    tensors.state_dtype = next().cast<int32_t>();
    tensors.input_dtype = next().cast<int32_t>();
    tensors.state = reinterpret_cast<void*>(next().cast<uintptr_t>());
    tensors.input = reinterpret_cast<void*>(next().cast<uintptr_t>());
    tensors.seeds = column(seeds);
    tensors.channels = next().cast<int64_t>();
  }
};

void define_cuda(py::module_& module);
