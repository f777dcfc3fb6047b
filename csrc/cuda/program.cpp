// SPDX-License-Identifier: Apache-2.0
// The CUDA half of the C interface: checks, blocks, and launches.
#define PDC_TARGET program
#include <string.h>

#include <vector>

#include "device.h"
#include "pydiffcore/cuda.h"
#include "table.h"

using pdc::Grid;
using pdc::RowLaunch;
using pdc::program::channels_last;
using pdc::program::is_float;
using pdc::program::item_bytes;
using pdc::program::Row;
using pdc::program::row_of;
using pdc::program::valid;
using pdc::program::Written;
using pdc::program::written_of;

struct pdc_cuda_program {
  RowLaunch launch;
  const void* kernel;          // NULL: the host loop
  const void* segment_kernel;  // NULL until it is loaded
  pdc::RowKind kind;
  std::vector<int32_t> draws_of_row;
  int device, state_dtype, input_dtype, registers;
  Written written;
};

Grid pdc::grid_of(int64_t samples, int64_t size, int32_t blocks, int32_t threads) {
  const int64_t quads = (size + 3) / 4, stride = static_cast<int64_t>(blocks) * threads;
  const int64_t sample_step = stride / quads, quad_step = stride % quads;
  return {samples, size,   quads, sample_step, quad_step, sample_step * size + 4 * quad_step,
          blocks,  threads};
}

namespace {

// Whether quads of a type can be read whole at this address.
bool aligned(const void* address, int dtype) {
  const int64_t quad = 4 * item_bytes(dtype);
  return reinterpret_cast<uintptr_t>(address) % (quad < 16 ? quad : 16) == 0;
}

// The shape of a launch over a batch that is not empty.
int shape_of(const pdc_place& place, const void* kernel, int64_t samples, int64_t size,
             Grid* grid) {
  if (place.device < PDC_HOST_LOOP || place.blocks < 0 || place.threads < 0 ||
      place.threads > pdc::kThreads)
    return PDC_INVALID;
  const int32_t threads = place.threads ? place.threads : pdc::kThreads;
  int32_t blocks = 1;
  if (place.device != PDC_HOST_LOOP) {
    const int status = pdc::prepare(place.device, kernel, &blocks);
    if (status) return status;
  }
  const int64_t needed = (samples * ((size + 3) / 4) + threads - 1) / threads;
  if (needed < blocks) blocks = static_cast<int32_t>(needed);
  *grid = pdc::grid_of(samples, size, place.blocks ? place.blocks : blocks, threads);
  return PDC_OK;
}

int64_t padded(int64_t bytes) { return (bytes + 15) / 16 * 16; }

pdc_block block_of(const pdc_table& t, const pdc_tensors& x) {
  const int64_t T = item_bytes(x.state_dtype);
  const int64_t weights = t.guidance ? t.rows * (t.guidance_per_sample ? x.samples : 1) : 0;
  const int64_t row = x.state_dtype == PDC_FLOAT32 ? sizeof(Row<float>) : sizeof(Row<double>);
  pdc_block b = {};
  b.first_bad = padded(sizeof(pdc::Counter));
  b.seeds = b.first_bad + padded(4 * x.samples);
  b.guidance = b.seeds + padded(8 * x.samples);
  b.rows = b.guidance + padded(T * weights);
  b.bytes = b.rows + padded(row * t.rows);
  return b;
}

template <class T>
void write_typed(const pdc_table& t, const pdc_tensors& x, const pdc_block& layout, char* block) {
  Row<T>* const rows = reinterpret_cast<Row<T>*>(block + layout.rows);
  for (int r = 0; r < t.rows; ++r) rows[r] = row_of<T>(t, r);
  if (!t.guidance) return;
  T* const w = reinterpret_cast<T*>(block + layout.guidance);
  const int64_t weights = t.rows * (t.guidance_per_sample ? x.samples : 1);
  for (int64_t i = 0; i < weights; ++i) w[i] = static_cast<T>(t.guidance[i]);
}

int64_t draws_of(const pdc_cuda_program& p, int64_t row) {
  if (row != PDC_NEXT_ROW) return p.draws_of_row[row];
  int64_t most = 0;
  for (int64_t draws : p.draws_of_row) most = draws > most ? draws : most;
  return most;
}

int check(const pdc_cuda_program& p, int64_t row, const void* F, const void* unconditional,
          const void* noise, const void* scale) {
  if (row != PDC_NEXT_ROW && (row < 0 || row >= p.launch.row_count)) return PDC_NO_SUCH_ROW;
  return p.written.check(F, unconditional, noise, scale, draws_of(p, row));
}

}  // namespace

const char* pdc_cuda_architectures(void) { return pdc::architectures(); }
int pdc_cuda_devices(void) { return pdc::devices(); }
const char* pdc_cuda_error(void) { return pdc::last_error(); }

int pdc_block_layout(const pdc_table* table, const pdc_tensors* tensors, pdc_block* layout) {
  if (!valid(*table, *tensors)) return PDC_INVALID;
  *layout = block_of(*table, *tensors);
  return PDC_OK;
}

int pdc_block_write(const pdc_table* table, const pdc_tensors* tensors, void* block) {
  if (!valid(*table, *tensors)) return PDC_INVALID;
  const pdc_block layout = block_of(*table, *tensors);
  char* const bytes = static_cast<char*>(block);
  memset(bytes, 0, layout.bytes);
  if (tensors->samples) memcpy(bytes + layout.seeds, tensors->seeds, 8 * tensors->samples);
  if (tensors->state_dtype == PDC_FLOAT32)
    write_typed<float>(*table, *tensors, layout, bytes);
  else
    write_typed<double>(*table, *tensors, layout, bytes);
  return PDC_OK;
}

pdc_cuda_program* pdc_cuda_program_create(const pdc_place* place, const pdc_table* table,
                                          const pdc_tensors* tensors, void* block) {
  const pdc_table& t = *table;
  const pdc_tensors& x = *tensors;
  char* const bytes = static_cast<char*>(block);
  if (!valid(t, x) || reinterpret_cast<uintptr_t>(block) % 16) {
    pdc::fail("the table, the tensors or the block are out of range", "");
    return nullptr;
  }
  pdc_cuda_program p = {};
  RowLaunch& l = p.launch;
  p.kind = channels_last(x) ? pdc::kChannelsLast : pdc::kInOrder;
  if (place->device != PDC_HOST_LOOP)
    p.kernel = pdc::row_kernel_of(x.state_dtype, x.input_dtype, t.registers, p.kind);
  if (x.samples * x.size > 0) {
    const int status = shape_of(*place, p.kernel, x.samples, x.size, &l.grid);
    if (status == PDC_INVALID) pdc::fail("the launch shape or the device is out of range", "");
    if (status) return nullptr;
  }
  const pdc_block layout = block_of(t, x);
  l.counter = reinterpret_cast<pdc::Counter*>(bytes + layout.counter);
  l.first_bad = reinterpret_cast<int32_t*>(bytes + layout.first_bad);
  l.seeds = reinterpret_cast<uint64_t*>(bytes + layout.seeds);
  l.guidance = bytes + layout.guidance;
  l.guidance_sample = t.guidance_per_sample ? 1 : 0;
  l.guidance_row = t.guidance_per_sample ? x.samples : 1;
  l.rows = bytes + layout.rows;
  l.row_count = t.rows;
  l.state = x.state;
  l.input = x.input;
  l.plane = x.samples * x.size;
  l.channels = static_cast<uint32_t>(channels_last(x));
  l.pixels = l.channels ? static_cast<uint32_t>(x.size / l.channels) : 0;
  p.draws_of_row.assign(t.draws_of_row, t.draws_of_row + t.rows);
  p.device = place->device;
  p.state_dtype = x.state_dtype;
  p.input_dtype = x.input_dtype;
  p.registers = t.registers;
  p.written = written_of(t, x);
  return new pdc_cuda_program(p);
}

void pdc_cuda_program_destroy(pdc_cuda_program* program) { delete program; }

int pdc_cuda_program_advance(pdc_cuda_program* p, int64_t row, const void* F,
                             const void* unconditional, const void* noise, const void* scale,
                             void* stream) {
  const int status = check(*p, row, F, unconditional, noise, scale);
  if (status || p->launch.plane == 0) return status;
  RowLaunch l = p->launch;
  l.row = row;
  l.F = F;
  l.unconditional = unconditional;
  l.noise = noise;
  l.scale = scale;
  l.whole = l.grid.size % 4 == 0 && aligned(l.state, p->state_dtype) &&
            aligned(noise, p->state_dtype) && aligned(scale, p->state_dtype) &&
            (l.channels || (aligned(l.input, p->input_dtype) && aligned(F, p->input_dtype) &&
                            aligned(unconditional, p->input_dtype)));
  if (p->device != PDC_HOST_LOOP)
    return pdc::launch_kernel(p->device, p->kernel, l.grid, stream, &l);
  pdc::host_row(l, p->state_dtype, p->input_dtype, p->registers, p->kind);
  return PDC_OK;
}

int pdc_cuda_program_advance_rows(pdc_cuda_program* p, const int32_t* rows, int64_t segments,
                                  const void* F, const void* unconditional, void* stream) {
  RowLaunch l = p->launch;
  if (segments < 1 || p->kind == pdc::kChannelsLast) return PDC_INVALID;
  const int status = check(*p, 0, F, unconditional, nullptr, nullptr);
  if (status || l.plane == 0) return status;
  if (!rows || l.grid.size % segments) return PDC_INVALID;
  l.F = F;
  l.unconditional = unconditional;
  l.segment_rows = rows;
  l.segments = segments;
  l.segment_size = l.grid.size / segments;
  l.whole = l.grid.size % 4 == 0 && aligned(l.state, p->state_dtype) &&
            aligned(l.input, p->input_dtype) && aligned(F, p->input_dtype) &&
            aligned(unconditional, p->input_dtype);
  if (p->device == PDC_HOST_LOOP) {
    pdc::host_row(l, p->state_dtype, p->input_dtype, p->registers, pdc::kSegments);
    return PDC_OK;
  }
  if (!p->segment_kernel) {
    const void* const kernel =
        pdc::row_kernel_of(p->state_dtype, p->input_dtype, p->registers, pdc::kSegments);
    int32_t blocks = 0;
    if (pdc::prepare(p->device, kernel, &blocks)) return PDC_CUDA_ERROR;
    p->segment_kernel = kernel;
  }
  return pdc::launch_kernel(p->device, p->segment_kernel, l.grid, stream, &l);
}

int pdc_cuda_normal(const pdc_place* place, void* out, int dtype, int64_t samples, int64_t size,
                    const uint64_t* seeds, uint32_t purpose, uint32_t stream) {
  if (!is_float(dtype) || samples < 0 || size < 0) return PDC_INVALID;
  if (samples * size == 0) return PDC_OK;
  const void* const kernel = pdc::normal_kernel_of();
  pdc::NormalLaunch l = {{}, seeds, purpose, stream, out, dtype, false};
  const int status = shape_of(*place, kernel, samples, size, &l.grid);
  if (status) return status;
  l.whole = size % 4 == 0 && aligned(out, dtype);
  if (place->device != PDC_HOST_LOOP)
    return pdc::launch_kernel(place->device, kernel, l.grid, place->stream, &l);
  pdc::host_normal(l);
  return PDC_OK;
}

int pdc_cuda_corrupt(const pdc_place* place, const pdc_corruption* c) {
  if (!valid(*c)) return PDC_INVALID;
  if (c->samples * c->size == 0) return PDC_OK;
  const void* const kernel = pdc::corruption_kernel_of();
  pdc::CorruptionLaunch l = {
      {},       c->seeds,  c->purpose,     c->stream,      c->images, c->coefficients,
      c->input, c->target, c->image_dtype, c->input_dtype, false};
  const int status = shape_of(*place, kernel, c->samples, c->size, &l.grid);
  if (status) return status;
  l.whole = c->size % 4 == 0 && aligned(c->images, c->image_dtype) &&
            aligned(c->input, c->input_dtype) && aligned(c->target, PDC_FLOAT32);
  if (place->device != PDC_HOST_LOOP)
    return pdc::launch_kernel(place->device, kernel, l.grid, place->stream, &l);
  pdc::host_corruption(l);
  return PDC_OK;
}
