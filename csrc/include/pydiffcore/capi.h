/* SPDX-License-Identifier: Apache-2.0
 * The C interface of libpydiffcore: addresses, sizes and type codes; no framework. All arrays are
 * contiguous. A program keeps copies of its coefficients and seeds and borrows state and input. */
#ifndef PYDIFFCORE_CAPI_H
#define PYDIFFCORE_CAPI_H
#include <stdint.h>

#if defined(__GNUC__)
#define PDC_API __attribute__((visibility("default")))
#else
#define PDC_API
#endif
#ifdef __cplusplus
extern "C" {
#endif

enum pdc_dtype {
  PDC_FLOAT32 = 0,
  PDC_FLOAT64 = 1,
  PDC_BFLOAT16 = 2,
  PDC_FLOAT16 = 3,
  PDC_UINT8 = 4
};

enum pdc_status {
  PDC_OK = 0,
  PDC_NOT_FINITE = 1,  /* F held an infinity or a NaN; the row was executed */
  PDC_OVERLAP = 2,     /* F or noise overlaps state or input; nothing was done */
  PDC_NO_SUCH_ROW = 3, /* nothing was done */
  PDC_INVALID = 4,     /* a size, type or pointer is out of range; nothing was done */
  PDC_CUDA_ERROR = 5   /* pdc_cuda_error() says what */
};

/* What the library is: version, instruction set in use (NULL when PYDIFFCORE_TARGET names one that
 * cannot run here), those compiled in (space separated), threads, and its OpenMP runtime. */
PDC_API const char* pdc_version(void);
PDC_API const char* pdc_target(void);
PDC_API const char* pdc_targets(void);
PDC_API int pdc_threads(void);
PDC_API const char* pdc_openmp_library(void);

/* out[samples][size] = unit normals, element e of sample b = normal(seeds[b], purpose, stream, e).
 * dtype: float32, float64 (the same normals, widened), bfloat16 or float16. */
PDC_API int pdc_normal(void* out, int dtype, int64_t samples, int64_t size, const uint64_t* seeds,
                       uint32_t purpose, uint32_t stream);

/* A table of R rows with up to K registers and M draws each (K, M <= 8). */
struct pdc_table {
  int32_t rows, registers, draws;
  const int32_t *registers_in, *registers_out, *draws_of_row; /* [R] */
  /* [R][K]: the planes of the state where the registers lie that a row reads, and where those go
   * that it writes; plane 0 first, none twice. NULL: register k in plane k. */
  const int32_t *source, *target;
  const double* A;              /* [R][K][K] */
  const double *f, *d;          /* [R][K] */
  const double* S;              /* [R][K][M] */
  const uint32_t* stream;       /* [R][M] */
  const uint32_t* purpose;      /* [R][M] */
  const double *c_skip, *c_out; /* [R], read when clip is set */
  const double* c_in;           /* [R]; 0: the row writes no input */
  const double* guidance;       /* NULL, or w of row r and sample b at [r * samples * g + b * g] */
  int32_t guidance_per_sample;  /* g: 1 when guidance is [R][samples], 0 when it is [R] */
  int32_t clip;
  double low, high;
};

struct pdc_tensors {
  int64_t samples, size;
  int32_t state_dtype;   /* float32 or float64 */
  int32_t input_dtype;   /* of input, F and F unconditional; not uint8 */
  void* state;           /* [K][samples][size] */
  void* input;           /* [samples][size] */
  const uint64_t* seeds; /* [samples] */
  /* Of input, F and F unconditional. Above 1: they have channels last, element c P + p of a sample
   * lies at p channels + c, P = size / channels; size is then below 2^31. State, noise and scale
   * are in their own order always. */
  int64_t channels;
};

typedef struct pdc_program pdc_program;
PDC_API pdc_program* pdc_program_create(const struct pdc_table* table,
                                        const struct pdc_tensors* tensors);
PDC_API void pdc_program_destroy(pdc_program* program);

/* Executes one row in place. F may be exactly the input buffer. unconditional: NULL = no guidance.
 * noise: NULL = drawn from the seeds, else [draws][samples][size] of the state's type.
 * scale: NULL = 1, else factors of the draws' elements, of noise's shape and type. */
PDC_API int pdc_program_advance(pdc_program* program, int64_t row, const void* F,
                                const void* unconditional, const void* noise, const void* scale);
/* A row of its own for each sample, or for each of `segments` equal parts of a sample's elements:
 * rows[sample * segments + segment], where -1 leaves registers and input as they are. Draws are
 * made of the seeds. Not for tensors with channels last. */
PDC_API int pdc_program_advance_rows(pdc_program* program, const int32_t* rows, int64_t segments,
                                     const void* F, const void* unconditional);
/* Elements of one register: what the work of a row is proportional to. */
PDC_API int64_t pdc_program_elements(const pdc_program* program);

/* input = p x0 + q z, target = u x0 + v z; coefficients = float32 [samples][4] in that order;
 * image_dtype uint8 (x0 = pixel / 127.5 - 1), float32, bfloat16 or float16; target is float32. */
struct pdc_corruption {
  int64_t samples, size;
  int32_t image_dtype, input_dtype;
  const void* images;
  const float* coefficients;
  const uint64_t* seeds;
  uint32_t purpose, stream;
  void* input;
  float* target;
};
PDC_API int pdc_corrupt(const struct pdc_corruption* corruption);

/* The mean of (F - target)^2 of each sample, added up in an order that depends on `size` alone.
 * dtype, of F and its gradient: float32, bfloat16 or float16; target is float32. */
struct pdc_squared {
  int64_t samples, size;
  int32_t dtype;
  const void* F;
  const float* target;
};
/* means[samples] = m. loss, where not NULL: the mean over samples of factor m, factor[samples] or
 * 1 where NULL. gradient, where not NULL: (F - target) 2 each factor/count, of F's type, in the
 * same pass: that of `each` times the sum of factor m where count is `size`. */
PDC_API int pdc_squared_error(const struct pdc_squared* squared, const float* factor, float* means,
                              float* loss, float each, int64_t count, void* gradient);
/* gradient = (F - target) scale, of F's type; scale[samples], or one scale for all of them. */
PDC_API int pdc_squared_gradient(const struct pdc_squared* squared, const float* scale,
                                 int32_t scale_per_sample, void* gradient);

/* Weights in `count` tensors of sizes[count] float32. tensors[5 + averages][count] are addresses of
 * the gradients (NULL: none, and the weight stays), the weights, first moments, second moments, of
 * one float each that counts the steps, and of each kind of average (NULL: none). */
struct pdc_weights {
  int64_t count, averages;
  const int64_t* sizes;
  float* const* tensors;
};
/* norm = the root of the sum of all squared gradients, added up in an order that depends on sizes
 * alone. */
PDC_API int pdc_gradient_norm(const struct pdc_weights* weights, double* norm);
/* One step of AdamW on gradients times `clip`, and the averages' way towards the new weights:
 * average = beta average + (1 - beta) weight, with beta[averages]. */
struct pdc_adamw {
  double rate, beta1, beta2, eps, decay, clip;
  const double* beta;
};
PDC_API int pdc_adamw_step(const struct pdc_weights* weights, const struct pdc_adamw* step);

#ifdef __cplusplus
}
#endif
#endif
