// SPDX-License-Identifier: Apache-2.0
#include "device.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"
#include "pydiffcore/cuda.h"

namespace pdc {
namespace {

thread_local char error_text[256] = "";

}  // namespace

int fail(const char* text, const char* detail) {
  snprintf(error_text, sizeof error_text, "%s%s%s", text, *detail ? ": " : "", detail);
  return PDC_CUDA_ERROR;
}
const char* last_error() { return error_text; }

}  // namespace pdc

#ifdef PDC_CUDA_ARCHITECTURES
#include <cuda_runtime_api.h>

namespace pdc {
namespace {

// One wave is at most 8 of these blocks on a multiprocessor; several let fast ones take more.
constexpr int kBlocksPerProcessor = 32;

bool failed(cudaError_t error) {
  if (error == cudaSuccess) return false;
  fail(cudaGetErrorName(error), cudaGetErrorString(error));
  (void)cudaGetLastError();  // reported here: the next call starts clean
  return true;
}

// The calling thread's device for the length of a call.
class OnDevice {
 public:
  explicit OnDevice(int device) : ok_(!failed(cudaGetDevice(&before_))) {
    changed_ = ok_ && before_ != device;
    if (changed_) ok_ = !failed(cudaSetDevice(device));
  }
  ~OnDevice() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  bool ok() const { return ok_; }

 private:
  int before_ = 0;
  bool ok_, changed_ = false;
};

}  // namespace

const char* architectures() { return PDC_CUDA_ARCHITECTURES; }

int devices() {
  int count = 0;
  if (failed(cudaGetDeviceCount(&count))) return 0;
  int usable = 0;
  for (int device = 0; device < count; ++device) {
    int major = 0, minor = 0;
    if (failed(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device)) ||
        failed(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device)))
      return 0;
    usable += 10 * major + minor >= atoi(PDC_CUDA_ARCHITECTURES);
  }
  if (usable == 0) fail("no CUDA device of an architecture compiled in", PDC_CUDA_ARCHITECTURES);
  return usable;
}

const void* row_kernel_of(int state_dtype, int input_dtype, int registers, RowKind kind) {
  if (state_dtype == PDC_FLOAT64) return row_kernel_float64(input_dtype, registers, kind);
  const bool half = input_dtype == PDC_BFLOAT16 || input_dtype == PDC_FLOAT16;
  return half ? row_kernel_half(input_dtype, registers, kind)
              : row_kernel_float32(input_dtype, registers, kind);
}
const void* normal_kernel_of() { return normal_kernel(); }
const void* corruption_kernel_of() { return corruption_kernel(); }

int prepare(int device, const void* kernel, int32_t* blocks) {
  const OnDevice on(device);
  cudaFuncAttributes attributes;
  int processors = 0;
  if (!on.ok() || failed(cudaFuncGetAttributes(&attributes, kernel)) ||
      failed(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device)))
    return PDC_CUDA_ERROR;
  *blocks = processors * kBlocksPerProcessor;
  return PDC_OK;
}

int launch_kernel(int device, const void* kernel, const Grid& grid, void* stream,
                  const void* launch) {
  const OnDevice on(device);
  void* arguments[] = {const_cast<void*>(launch)};
  if (!on.ok() || failed(cudaLaunchKernel(kernel, dim3(grid.blocks), dim3(grid.threads), arguments,
                                          0, static_cast<cudaStream_t>(stream))))
    return PDC_CUDA_ERROR;
  return PDC_OK;
}

}  // namespace pdc

#else

namespace pdc {

const char* architectures() { return ""; }
int devices() {
  fail("this build has no CUDA kernels", "");
  return 0;
}
const void* row_kernel_of(int, int, int, RowKind) { return nullptr; }
const void* normal_kernel_of() { return nullptr; }
const void* corruption_kernel_of() { return nullptr; }
int prepare(int, const void*, int32_t*) { return fail("this build has no CUDA kernels", ""); }
int launch_kernel(int, const void*, const Grid&, void*, const void*) {
  return fail("this build has no CUDA kernels", "");
}

}  // namespace pdc
#endif
