// SPDX-License-Identifier: Apache-2.0
// Programs: a plan's table bound to the tensors it runs on.
#define PDC_TARGET program
#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "pydiffcore/capi.h"
#include "table.h"

using pdc::program::channels_last;
using pdc::program::Row;
using pdc::program::row_of;
using pdc::program::valid;
using pdc::program::Written;
using pdc::program::written_of;

struct pdc_program {
  pdc::Layout layout;
  const pdc::Kernels* kernels;
  std::vector<Row<float>> rows32;
  std::vector<Row<double>> rows64;
  std::vector<double> guidance;
  std::vector<uint64_t> seeds;
  bool guidance_per_sample;
  int state_dtype, input_dtype;
  void* state;
  void* input;
  Written written;
  int registers, draws;
};

namespace {

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
  pdc_program* p = new pdc_program{};
  const int64_t channels = channels_last(x);
  p->layout = channels ? pdc::layout_of_channels(x.samples, x.size, channels)
                       : pdc::layout_of(x.samples, x.size);
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
  p->state = x.state;
  p->input = x.input;
  p->written = written_of(t, x);
  p->registers = t.registers;
  p->draws = t.draws;
  return p;
}

void pdc_program_destroy(pdc_program* program) { delete program; }

int64_t pdc_program_elements(const pdc_program* p) { return p->layout.samples * p->layout.size; }

int pdc_program_advance(pdc_program* p, int64_t r, const void* F, const void* unconditional,
                        const void* noise, const void* scale) {
  const bool single = p->state_dtype == PDC_FLOAT32;
  const int64_t rows = single ? p->rows32.size() : p->rows64.size();
  if (r < 0 || r >= rows) return PDC_NO_SUCH_ROW;
  const void* row = single ? static_cast<void*>(&p->rows32[r]) : &p->rows64[r];
  const int draws = single ? p->rows32[r].draws : p->rows64[r].draws;
  const int registers = single ? p->rows32[r].registers_in + p->rows32[r].registers_out
                               : p->rows64[r].registers_in + p->rows64[r].registers_out;
  const int status = p->written.check(F, unconditional, noise, scale, draws);
  if (status) return status;
  const int64_t stride = p->guidance_per_sample ? p->layout.samples : 1;
  const double* w = unconditional ? p->guidance.data() + r * stride : nullptr;
  const pdc::RowCall call = {
      p->layout,      p->seeds.data(), row,      w, p->guidance_per_sample, p->state_dtype,
      p->input_dtype, p->state,        p->input, F, unconditional,          noise,
      scale,          nullptr,         0,        0};
  Work work = {&call, p->kernels, false};
  const double cost = 0.017 * (registers + 3) * (single ? 1 : 2) +
                      ((noise ? 0.04 : 0.45) + (scale ? 0.04 : 0)) * draws;
  pdc::parallel_for(p->layout.tiles, cost * pdc_program_elements(p), part, &work);
  return work.bad ? PDC_NOT_FINITE : PDC_OK;
}

int pdc_program_advance_rows(pdc_program* p, const int32_t* rows, int64_t segments, const void* F,
                             const void* unconditional) {
  const bool single = p->state_dtype == PDC_FLOAT32;
  const int64_t samples = p->layout.samples, size = p->layout.size;
  if ((!rows && samples) || segments < 1 || size % segments || p->layout.channels)
    return PDC_INVALID;
  const int64_t count = single ? p->rows32.size() : p->rows64.size();
  for (int64_t i = 0; i < samples * segments; ++i)
    if (rows[i] < -1 || rows[i] >= count) return PDC_NO_SUCH_ROW;
  const int status = p->written.check(F, unconditional, nullptr, nullptr, 0);
  if (status) return status;
  pdc::RowCall call = {};
  call.layout = pdc::layout_of_segments(samples, size, segments);
  call.seeds = p->seeds.data();
  call.row = single ? static_cast<const void*>(p->rows32.data()) : p->rows64.data();
  call.guidance = unconditional ? p->guidance.data() : nullptr;
  call.guidance_stride = p->guidance_per_sample;
  call.guidance_row = p->guidance_per_sample ? samples : 1;
  call.state_dtype = p->state_dtype;
  call.input_dtype = p->input_dtype;
  call.state = p->state;
  call.input = p->input;
  call.F = F;
  call.unconditional = unconditional;
  call.rows = rows;
  call.segments = segments;
  Work work = {&call, p->kernels, false};
  const double cost = 0.017 * (2 * p->registers + 3) * (single ? 1 : 2) + 0.45 * p->draws;
  pdc::parallel_for(call.layout.tiles, cost * samples * size, part, &work);
  return work.bad ? PDC_NOT_FINITE : PDC_OK;
}
