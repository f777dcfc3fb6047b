/* SPDX-License-Identifier: Apache-2.0
 * The CUDA half of the C interface. All memory is the caller's and on the device; a call launches
 * at most one kernel, allocates nothing and waits for nothing. There in every build: without CUDA,
 * or without a device, the calls return PDC_CUDA_ERROR and pdc_cuda_error() says why. */
#ifndef PYDIFFCORE_CUDA_H
#define PYDIFFCORE_CUDA_H
#include "capi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Architectures compiled in, space separated and ascending, "" in a build without CUDA; the number
 * of devices that are not too old for them; and what this thread's last failed call ran into. */
PDC_API const char* pdc_cuda_architectures(void);
PDC_API int pdc_cuda_devices(void);
PDC_API const char* pdc_cuda_error(void);

/* Where and how a kernel runs. device: a CUDA device, or PDC_HOST_LOOP: the same kernel body over
 * memory of the host, one thread of one block after the other, which is how a machine without a
 * device tests its index arithmetic. blocks, threads: 0 = chosen; at most 256 threads. */
enum { PDC_HOST_LOOP = -1 };
struct pdc_place {
  int32_t device, blocks, threads;
  void* stream;
};

/* As pdc_normal and pdc_corrupt; seeds and coefficients are on the device too. */
PDC_API int pdc_cuda_normal(const struct pdc_place* place, void* out, int dtype, int64_t samples,
                            int64_t size, const uint64_t* seeds, uint32_t purpose, uint32_t stream);
PDC_API int pdc_cuda_corrupt(const struct pdc_place* place,
                             const struct pdc_corruption* corruption);

/* What a program keeps on the device is one block of bytes: written here in memory of the host, to
 * be copied by the caller, 16-byte aligned. Copying another table's block of equal layout over it,
 * or other seeds, changes what captured launches do. Offsets from its start: */
struct pdc_block {
  int64_t counter;   /* int64: the row that PDC_NEXT_ROW runs */
  int64_t first_bad; /* int32 [samples]: 1 + the first row whose F was not finite, or 0 */
  int64_t seeds;     /* uint64 [samples] */
  int64_t guidance;  /* the state's type, [rows] or [rows][samples] */
  int64_t rows;
  int64_t bytes;
};
PDC_API int pdc_block_layout(const struct pdc_table* table, const struct pdc_tensors* tensors,
                             struct pdc_block* layout);
PDC_API int pdc_block_write(const struct pdc_table* table, const struct pdc_tensors* tensors,
                            void* block);

/* tensors->seeds is not read: the block has them. NULL: pdc_cuda_error() says why. */
typedef struct pdc_cuda_program pdc_cuda_program;
PDC_API pdc_cuda_program* pdc_cuda_program_create(const struct pdc_place* place,
                                                  const struct pdc_table* table,
                                                  const struct pdc_tensors* tensors, void* block);
PDC_API void pdc_cuda_program_destroy(pdc_cuda_program* program);

/* As pdc_program_advance, on a stream; never PDC_NOT_FINITE, see first_bad, which a row without F
 * clears. PDC_NEXT_ROW runs the row of the block's counter and moves the counter on. */
enum { PDC_NEXT_ROW = -1 };
PDC_API int pdc_cuda_program_advance(pdc_cuda_program* program, int64_t row, const void* F,
                                     const void* unconditional, const void* noise,
                                     const void* scale, void* stream);

/* As pdc_program_advance_rows; rows are on the device, and one that there is not is as -1. */
PDC_API int pdc_cuda_program_advance_rows(pdc_cuda_program* program, const int32_t* rows,
                                          int64_t segments, const void* F,
                                          const void* unconditional, void* stream);

#ifdef __cplusplus
}
#endif
#endif
