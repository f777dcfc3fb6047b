// SPDX-License-Identifier: Apache-2.0
// The CUDA half of pydiffcore._core.
#include "pydiffcore/cuda.h"

#include "bound.h"
#include "operands.h"

namespace {

using Program = Bound<pdc_cuda_program, pdc_cuda_program_destroy>;

// Where: (device, blocks, threads), and the stream.
pdc_place place_of(const std::tuple<int, int, int>& where, uintptr_t stream) {
  return {std::get<0>(where), std::get<1>(where), std::get<2>(where),
          reinterpret_cast<void*>(stream)};
}

int checked(int status) {
  if (status == PDC_CUDA_ERROR) throw std::runtime_error(pdc_cuda_error());
  return status;
}

// A status as Python takes it: an error of CUDA is raised.
PyObject* result(int status) {
  if (status != PDC_CUDA_ERROR) return PyLong_FromLong(status);
  PyErr_SetString(PyExc_RuntimeError, pdc_cuda_error());
  return nullptr;
}

// advance(row, F, unconditional, noise, scale, stream); a full queue makes a launch wait.
PyObject* advance(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 6) {
    PyErr_SetString(PyExc_TypeError, "advance takes row, F, unconditional, noise, scale, stream");
    return nullptr;
  }
  const long long row = PyLong_AsLongLong(args[0]);
  void* at[5];
  if (!addresses(args + 1, 5, at)) return nullptr;
  pdc_cuda_program* const program = Program::of(capsule);
  return result(without_gil(
      [&] { return pdc_cuda_program_advance(program, row, at[0], at[1], at[2], at[3], at[4]); }));
}

// advance_rows(rows, segments, F, unconditional, stream)
PyObject* advance_rows(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) {
    PyErr_SetString(PyExc_TypeError, "advance_rows takes rows, segments, F, unconditional, stream");
    return nullptr;
  }
  const int32_t* const rows = static_cast<const int32_t*>(PyLong_AsVoidPtr(args[0]));
  const long long segments = PyLong_AsLongLong(args[1]);
  void* at[3];
  if (!addresses(args + 2, 3, at)) return nullptr;
  pdc_cuda_program* const program = Program::of(capsule);
  return result(without_gil(
      [&] { return pdc_cuda_program_advance_rows(program, rows, segments, at[0], at[1], at[2]); }));
}

PyMethodDef advance_definition = fast_call("advance", advance);
PyMethodDef advance_rows_definition = fast_call("advance_rows", advance_rows);

// The block of a program, and where its parts begin.
py::tuple block(const py::tuple& operands) {
  const Operands o(operands);
  pdc_block layout;
  if (pdc_block_layout(&o.table, &o.tensors, &layout))
    throw py::value_error("the table or the tensors are out of range");
  py::array_t<uint8_t> bytes(layout.bytes);
  pdc_block_write(&o.table, &o.tensors, bytes.mutable_data());
  py::dict offsets;
  offsets["counter"] = layout.counter;
  offsets["first_bad"] = layout.first_bad;
  offsets["seeds"] = layout.seeds;
  offsets["guidance"] = layout.guidance;
  offsets["rows"] = layout.rows;
  return py::make_tuple(bytes, offsets);
}

py::object program(const py::object& owner, const py::tuple& operands, uintptr_t block,
                   const std::tuple<int, int, int>& where) {
  const Operands o(operands);
  const pdc_place place = place_of(where, 0);
  pdc_cuda_program* const created =
      pdc_cuda_program_create(&place, &o.table, &o.tensors, reinterpret_cast<void*>(block));
  if (!created) throw std::runtime_error(pdc_cuda_error());
  return Program::functions(created, owner, &advance_definition, &advance_rows_definition);
}

int normal(uintptr_t out, int dtype, int64_t samples, int64_t size, uintptr_t seeds,
           uint32_t purpose, uint32_t stream, const std::tuple<int, int, int>& where,
           uintptr_t cuda_stream) {
  const pdc_place place = place_of(where, cuda_stream);
  py::gil_scoped_release release;
  return checked(pdc_cuda_normal(&place, reinterpret_cast<void*>(out), dtype, samples, size,
                                 reinterpret_cast<const uint64_t*>(seeds), purpose, stream));
}

int corrupt(uintptr_t images, int image_dtype, uintptr_t input, int input_dtype, uintptr_t target,
            int64_t samples, int64_t size, uintptr_t coefficients, uintptr_t seeds,
            uint32_t purpose, uint32_t stream, const std::tuple<int, int, int>& where,
            uintptr_t cuda_stream) {
  const pdc_corruption c = {samples,
                            size,
                            image_dtype,
                            input_dtype,
                            reinterpret_cast<const void*>(images),
                            reinterpret_cast<const float*>(coefficients),
                            reinterpret_cast<const uint64_t*>(seeds),
                            purpose,
                            stream,
                            reinterpret_cast<void*>(input),
                            reinterpret_cast<float*>(target)};
  const pdc_place place = place_of(where, cuda_stream);
  py::gil_scoped_release release;
  return checked(pdc_cuda_corrupt(&place, &c));
}

}  // namespace

void define_cuda(py::module_& module) {
  module.def("cuda_architectures", &pdc_cuda_architectures);
  module.def("cuda_devices", &pdc_cuda_devices);
  module.def("cuda_error", &pdc_cuda_error);
  module.def("cuda_block", &block);
  module.def("cuda_program", &program);
  module.def("cuda_normal", &normal);
  module.def("cuda_corrupt", &corrupt);
}
