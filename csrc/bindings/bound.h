// SPDX-License-Identifier: Apache-2.0
// A program as Python holds it: plain C functions bound to a capsule that owns it, since pybind11's
// argument conversion costs several times the row of a small tensor.
#pragma once
#include <pybind11/pybind11.h>

namespace py = pybind11;

using FastCall = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

inline PyMethodDef fast_call(const char* name, FastCall function) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
          METH_FASTCALL, nullptr};
}

// count arguments as addresses; false with a Python error set.
inline bool addresses(PyObject* const* args, int count, void** to) {
  for (int i = 0; i < count; ++i) to[i] = PyLong_AsVoidPtr(args[i]);
  return !PyErr_Occurred();
}

template <class Work>
int without_gil(const Work& work) {
  PyThreadState* const thread = PyEval_SaveThread();
  const int status = work();
  PyEval_RestoreThread(thread);
  return status;
}

// A program and the Python object that owns the tensors it borrows.
template <class Program, void (*kDestroy)(Program*)>
struct Bound {
  Program* program;
  PyObject* owner;

  static Program* of(PyObject* capsule) {
    return static_cast<Bound*>(PyCapsule_GetPointer(capsule, nullptr))->program;
  }

  static void destroy(PyObject* capsule) {
    Bound* const bound = static_cast<Bound*>(PyCapsule_GetPointer(capsule, nullptr));
    kDestroy(bound->program);
    Py_DECREF(bound->owner);
    delete bound;
  }

  // The program's functions, which share its capsule.
  static py::object functions(Program* program, const py::object& owner, PyMethodDef* advance,
                              PyMethodDef* advance_rows) {
    Bound* const bound = new Bound{program, owner.inc_ref().ptr()};
    const auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(bound, nullptr, destroy));
    const auto function = [&](PyMethodDef* definition) {
      return py::reinterpret_steal<py::object>(
          PyCFunction_NewEx(definition, capsule.ptr(), nullptr));
    };
    return py::make_tuple(function(advance), function(advance_rows));
  }
};
