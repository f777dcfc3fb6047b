// SPDX-License-Identifier: Apache-2.0
// pydiffcore._core: addresses and sizes from Python to the C interface. Checks live in the one
// Python file that imports this module.
#include "bound.h"
#include "operands.h"

namespace {

constexpr int64_t kWorthReleasing = 16384;  // elements; below, the GIL costs more than it gives

using Program = Bound<pdc_program, pdc_program_destroy>;

// advance(row, F, unconditional, noise[, scale])
PyObject* advance(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 4 && count != 5) {
    PyErr_SetString(PyExc_TypeError, "advance takes row, F, unconditional, noise, scale");
    return nullptr;
  }
  const long long row = PyLong_AsLongLong(args[0]);
  void* at[4] = {};
  if (!addresses(args + 1, static_cast<int>(count) - 1, at)) return nullptr;
  pdc_program* const program = Program::of(capsule);
  const auto run = [&] { return pdc_program_advance(program, row, at[0], at[1], at[2], at[3]); };
  const bool small = pdc_program_elements(program) < kWorthReleasing;
  return PyLong_FromLong(small ? run() : without_gil(run));
}

// advance_rows(rows, segments, F, unconditional)
PyObject* advance_rows(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 4) {
    PyErr_SetString(PyExc_TypeError, "advance_rows takes rows, segments, F, unconditional");
    return nullptr;
  }
  const int32_t* const rows = static_cast<const int32_t*>(PyLong_AsVoidPtr(args[0]));
  const long long segments = PyLong_AsLongLong(args[1]);
  void* at[2];
  if (!addresses(args + 2, 2, at)) return nullptr;
  pdc_program* const program = Program::of(capsule);
  return PyLong_FromLong(
      without_gil([&] { return pdc_program_advance_rows(program, rows, segments, at[0], at[1]); }));
}

PyMethodDef advance_definition = fast_call("advance", advance);
PyMethodDef advance_rows_definition = fast_call("advance_rows", advance_rows);

py::object program(const py::object& owner, const py::tuple& operands) {
  const Operands o(operands);
  pdc_program* const created = pdc_program_create(&o.table, &o.tensors);
  if (!created) throw py::value_error("the table or the tensors are out of range");
  return Program::functions(created, owner, &advance_definition, &advance_rows_definition);
}

int normal(uintptr_t out, int dtype, int64_t size, Array<uint64_t> seeds, uint32_t purpose,
           uint32_t stream) {
  const int64_t samples = seeds.size();
  const uint64_t* const keys = seeds.data();
  py::gil_scoped_release release;
  return pdc_normal(reinterpret_cast<void*>(out), dtype, samples, size, keys, purpose, stream);
}

int corrupt(uintptr_t images, int image_dtype, uintptr_t input, int input_dtype, uintptr_t target,
            int64_t size, Array<float> coefficients, Array<uint64_t> seeds, uint32_t purpose,
            uint32_t stream) {
  const pdc_corruption c = {seeds.size(),
                            size,
                            image_dtype,
                            input_dtype,
                            reinterpret_cast<const void*>(images),
                            coefficients.data(),
                            seeds.data(),
                            purpose,
                            stream,
                            reinterpret_cast<void*>(input),
                            reinterpret_cast<float*>(target)};
  py::gil_scoped_release release;
  return pdc_corrupt(&c);
}

// What a squared error is taken of: (F, dtype, target, samples, size).
pdc_squared squared_of(const std::tuple<uintptr_t, int, uintptr_t, int64_t, int64_t>& of) {
  const auto [F, dtype, target, samples, size] = of;
  return {samples, size, dtype, reinterpret_cast<const void*>(F),
          reinterpret_cast<const float*>(target)};
}

int squared_error(const std::tuple<uintptr_t, int, uintptr_t, int64_t, int64_t>& of,
                  uintptr_t factor, uintptr_t means, uintptr_t loss, float each, int64_t count,
                  uintptr_t gradient) {
  const pdc_squared s = squared_of(of);
  py::gil_scoped_release release;
  return pdc_squared_error(&s, reinterpret_cast<const float*>(factor),
                           reinterpret_cast<float*>(means), reinterpret_cast<float*>(loss), each,
                           count, reinterpret_cast<void*>(gradient));
}

int squared_gradient(const std::tuple<uintptr_t, int, uintptr_t, int64_t, int64_t>& of,
                     uintptr_t scale, bool per_sample, uintptr_t gradient) {
  const pdc_squared s = squared_of(of);
  py::gil_scoped_release release;
  return pdc_squared_gradient(&s, reinterpret_cast<const float*>(scale), per_sample,
                              reinterpret_cast<void*>(gradient));
}

// Sizes [count] and addresses [5 + averages, count] of weights.
pdc_weights weights_of(const Array<int64_t>& sizes, const Array<uint64_t>& tensors) {
  static_assert(sizeof(uint64_t) == sizeof(float*), "addresses come as 64-bit integers");
  return {static_cast<int64_t>(sizes.size()), static_cast<int64_t>(tensors.shape(0)) - 5,
          sizes.data(), reinterpret_cast<float* const*>(tensors.data())};
}

double gradient_norm(const Array<int64_t>& sizes, const Array<uint64_t>& tensors) {
  const pdc_weights weights = weights_of(sizes, tensors);
  double norm;
  py::gil_scoped_release release;
  if (pdc_gradient_norm(&weights, &norm)) throw std::runtime_error("the weights were refused");
  return norm;
}

int adamw_step(const Array<int64_t>& sizes, const Array<uint64_t>& tensors,
               const std::tuple<double, double, double, double, double, double>& numbers,
               const Array<double>& beta) {
  const pdc_weights weights = weights_of(sizes, tensors);
  const auto [rate, beta1, beta2, eps, decay, clip] = numbers;
  const pdc_adamw step = {rate, beta1, beta2, eps, decay, clip, beta.data()};
  py::gil_scoped_release release;
  return pdc_adamw_step(&weights, &step);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.def("version", &pdc_version);
  module.def("target", &pdc_target);
  module.def("targets", &pdc_targets);
  module.def("threads", &pdc_threads);
  module.def("openmp_library", &pdc_openmp_library);
  module.def("program", &program);
  module.def("normal", &normal);
  module.def("corrupt", &corrupt);
  module.def("squared_error", &squared_error);
  module.def("squared_gradient", &squared_gradient);
  module.def("gradient_norm", &gradient_norm);
  module.def("adamw_step", &adamw_step);
  define_cuda(module);
}
