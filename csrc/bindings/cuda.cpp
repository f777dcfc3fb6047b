// SPDX-License-Identifier: Apache-2.0
// The CUDA half of pydiffcore._core.
#include "pydiffcore/cuda.h"

#include "operands.h"

namespace {

struct Bound {
  pdc_cuda_program* program;
  PyObject* owner;  // keeps the tensors
};

void destroy(PyObject* capsule) {
  Bound* bound = static_cast<Bound*>(PyCapsule_GetPointer(capsule, "pdc_cuda_program"));
  pdc_cuda_program_destroy(bound->program);
  Py_DECREF(bound->owner);
  delete bound;
}

// Where: (device, blocks, threads), and the stream.
pdc_place place_of(const std::tuple<int, int, int>& where, uintptr_t stream) {
  return {std::get<0>(where), std::get<1>(where), std::get<2>(where),
          reinterpret_cast<void*>(stream)};
}

int checked(int status) {
  if (status == PDC_CUDA_ERROR) throw std::runtime_error(pdc_cuda_error());
  return status;
}

// advance(row, F, unconditional, noise, scale, stream)
PyObject* advance(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 6) {
    PyErr_SetString(PyExc_TypeError, "advance takes row, F, unconditional, noise, scale, stream");
    return nullptr;
  }
  const long long row = PyLong_AsLongLong(args[0]);
  void* pointers[5];
  for (int i = 0; i < 5; ++i) pointers[i] = PyLong_AsVoidPtr(args[i + 1]);
  if (PyErr_Occurred()) return nullptr;
  pdc_cuda_program* const program =
      static_cast<Bound*>(PyCapsule_GetPointer(capsule, "pdc_cuda_program"))->program;
  PyThreadState* const thread = PyEval_SaveThread();  // a full queue makes a launch wait
  const int status = pdc_cuda_program_advance(program, row, pointers[0], pointers[1], pointers[2],
                                              pointers[3], pointers[4]);
  PyEval_RestoreThread(thread);
  if (status == PDC_CUDA_ERROR) {
    PyErr_SetString(PyExc_RuntimeError, pdc_cuda_error());
    return nullptr;
  }
  return PyLong_FromLong(status);
}

// advance_rows(rows, segments, F, unconditional, stream)
PyObject* advance_rows(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) {
    PyErr_SetString(PyExc_TypeError, "advance_rows takes rows, segments, F, unconditional, stream");
    return nullptr;
  }
  const int32_t* const rows = static_cast<const int32_t*>(PyLong_AsVoidPtr(args[0]));
  const long long segments = PyLong_AsLongLong(args[1]);
  void* pointers[3];
  for (int i = 0; i < 3; ++i) pointers[i] = PyLong_AsVoidPtr(args[i + 2]);
  if (PyErr_Occurred()) return nullptr;
  pdc_cuda_program* const program =
      static_cast<Bound*>(PyCapsule_GetPointer(capsule, "pdc_cuda_program"))->program;
  PyThreadState* const thread = PyEval_SaveThread();
  const int status =
      pdc_cuda_program_advance_rows(program, rows, segments, pointers[0], pointers[1], pointers[2]);
  PyEval_RestoreThread(thread);
  if (status == PDC_CUDA_ERROR) {
    PyErr_SetString(PyExc_RuntimeError, pdc_cuda_error());
    return nullptr;
  }
  return PyLong_FromLong(status);
}

PyMethodDef advance_rows_definition = {
    "advance_rows", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(advance_rows)),
    METH_FASTCALL, nullptr};
PyMethodDef advance_definition = {
    "advance", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(advance)), METH_FASTCALL,
    nullptr};

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
  Bound* const bound = new Bound{created, owner.inc_ref().ptr()};
  const auto capsule =
      py::reinterpret_steal<py::object>(PyCapsule_New(bound, "pdc_cuda_program", destroy));
  return functions(&advance_definition, &advance_rows_definition, capsule);
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
