// SPDX-License-Identifier: Apache-2.0
// Programs: a plan's table bound to the tensors it runs on.
#define PDC_TARGET program
#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "pydiffcore/capi.h"
#include "pydiffcore/row.h"

using pdc::program::kMaxDraws;
using pdc::program::kMaxRegisters;
using pdc::program::Row;

struct pdc_program {
  pdc::Layout layout;
  const pdc::Kernels* kernels;
  std::vector<Row<float>> rows32;
  std::vector<Row<double>> rows64;
  std::vector<double> guidance;
  std::vector<uint64_t> seeds;
  bool guidance_per_sample;
  int state_dtype, input_dtype;
  char* state;
  char* input;
  int64_t state_bytes, input_bytes;
  int64_t state_item;
};

namespace {

template <class T>
Row<T> row_of(const pdc_table& t, int r) {
  Row<T> row = {};
  const int K = t.registers, M = t.draws;
  row.registers_in = t.registers_in[r];
  row.registers_out = t.registers_out[r];
  row.draws = t.draws_of_row[r];
  row.clipped = t.clip;
  for (int j = 0; j < K; ++j) {
    for (int k = 0; k < K; ++k) row.A[j][k] = static_cast<T>(t.A[(r * K + j) * K + k]);
    for (int m = 0; m < M; ++m) row.S[j][m] = static_cast<T>(t.S[(r * K + j) * M + m]);
    row.f[j] = static_cast<T>(t.f[r * K + j]);
    row.d[j] = t.clip ? static_cast<T>(t.d[r * K + j]) : 0;
  }
  if (t.clip) {
    row.c_skip = static_cast<T>(t.c_skip[r]);
    row.c_out = static_cast<T>(t.c_out[r]);
    row.low = static_cast<T>(t.low);
    row.high = static_cast<T>(t.high);
  }
  row.c_in = static_cast<T>(t.c_in[r]);
  for (int m = 0; m < M; ++m) {
    row.stream[m] = t.stream[r * M + m];
    row.purpose[m] = t.purpose[r * M + m];
  }
  return row;
}

bool valid(const pdc_table& t, const pdc_tensors& x) {
  if (t.rows < 1 || t.registers < 1 || t.registers > kMaxRegisters || t.draws < 0 ||
      t.draws > kMaxDraws || x.samples < 0 || x.size < 0)
    return false;
  if (x.state_dtype != PDC_FLOAT32 && x.state_dtype != PDC_FLOAT64) return false;
  if (x.input_dtype < PDC_FLOAT32 || x.input_dtype > PDC_FLOAT16) return false;
  for (int r = 0; r < t.rows; ++r)
    if (t.registers_in[r] < 0 || t.registers_in[r] > t.registers || t.registers_out[r] < 1 ||
        t.registers_out[r] > t.registers || t.draws_of_row[r] < 0 || t.draws_of_row[r] > t.draws)
      return false;
  return true;
}

bool apart(const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
  const uintptr_t a0 = reinterpret_cast<uintptr_t>(a), b0 = reinterpret_cast<uintptr_t>(b);
  return a0 + a_bytes <= b0 || b0 + b_bytes <= a0;
}

// Whether an operand of the network's type may be read while state and input are written.
bool readable(const pdc_program& p, const void* F) {
  return apart(F, p.input_bytes, p.state, p.state_bytes) &&
         (F == p.input || apart(F, p.input_bytes, p.input, p.input_bytes));
}

struct Work {
  const pdc::RowCall* call;
  const pdc::Kernels* kernels;
  bool bad;
};

void part(void* context, int64_t begin, int64_t end) {
  Work& work = *static_cast<Work*>(context);
  if (work.kernels->row(*work.call, begin, end))
    __atomic_store_n(&work.bad, true, __ATOMIC_RELAXED);
}

}  // namespace

pdc_program* pdc_program_create(const pdc_table* table, const pdc_tensors* tensors) {
  const pdc_table& t = *table;
  const pdc_tensors& x = *tensors;
  if (!pdc::kernels() || !valid(t, x)) return nullptr;
  static const int64_t item[] = {4, 8, 2, 2};
  const int64_t elements = x.samples * x.size;
  pdc_program* p = new pdc_program{};
  p->layout = pdc::layout_of(x.samples, x.size);
  p->kernels = pdc::kernels();
  for (int r = 0; r < t.rows; ++r) {
    if (x.state_dtype == PDC_FLOAT32)
      p->rows32.push_back(row_of<float>(t, r));
    else
      p->rows64.push_back(row_of<double>(t, r));
  }
  p->guidance_per_sample = t.guidance_per_sample;
  if (t.guidance) {
    const int64_t per_row = t.guidance_per_sample ? x.samples : 1;
    p->guidance.assign(t.guidance, t.guidance + t.rows * per_row);
  }
  p->seeds.assign(x.seeds, x.seeds + x.samples);
  p->state_dtype = x.state_dtype;
  p->input_dtype = x.input_dtype;
  p->state = static_cast<char*>(x.state);
  p->input = static_cast<char*>(x.input);
  p->state_item = item[x.state_dtype];
  p->state_bytes = t.registers * elements * p->state_item;
  p->input_bytes = elements * item[x.input_dtype];
  return p;
}

void pdc_program_destroy(pdc_program* program) { delete program; }

int64_t pdc_program_elements(const pdc_program* p) { return p->layout.samples * p->layout.size; }

int pdc_program_advance(pdc_program* p, int64_t r, const void* F, const void* unconditional,
                        const void* noise) {
  const bool single = p->state_dtype == PDC_FLOAT32;
  const int64_t rows = single ? p->rows32.size() : p->rows64.size();
  if (r < 0 || r >= rows) return PDC_NO_SUCH_ROW;
  const void* row = single ? static_cast<void*>(&p->rows32[r]) : &p->rows64[r];
  const int draws = single ? p->rows32[r].draws : p->rows64[r].draws;
  const int registers = single ? p->rows32[r].registers_in + p->rows32[r].registers_out
                               : p->rows64[r].registers_in + p->rows64[r].registers_out;
  const int64_t elements = pdc_program_elements(p);
  if ((F && !readable(*p, F)) || (unconditional && !readable(*p, unconditional)))
    return PDC_OVERLAP;
  const int64_t noise_bytes = noise ? draws * elements * p->state_item : 0;
  if (noise && !(apart(noise, noise_bytes, p->state, p->state_bytes) &&
                 apart(noise, noise_bytes, p->input, p->input_bytes)))
    return PDC_OVERLAP;
  if (unconditional && (!F || p->guidance.empty())) return PDC_INVALID;
  const int64_t stride = p->guidance_per_sample ? p->layout.samples : 1;
  const double* w = unconditional ? p->guidance.data() + r * stride : nullptr;
  const pdc::RowCall call = {
      p->layout,      p->seeds.data(), row,      w, p->guidance_per_sample, p->state_dtype,
      p->input_dtype, p->state,        p->input, F, unconditional,          noise};
  Work work = {&call, p->kernels, false};
  const double cost = 0.04 * (registers + 3) * (single ? 1 : 2) + (noise ? 0.1 : 0.5) * draws;
  pdc::parallel_for(p->layout.tiles, cost * elements, part, &work);
  return work.bad ? PDC_NOT_FINITE : PDC_OK;
}
