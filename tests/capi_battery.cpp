// SPDX-License-Identifier: Apache-2.0
// Runs the kernels of the C interface on fixed operands and prints the target and, for each kind,
// a digest of all bits they write: the same on every machine, instruction set and number of
// threads.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <vector>

#include "pydiffcore/capi.h"

namespace {

using std::vector;

// Numbers that every compiler makes alike: no libm, no std distributions.
struct Numbers {
  uint64_t state;
  uint64_t next() { return state = state * 6364136223846793005ull + 1442695040888963407ull; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double about() { return 4 * unit() - 2; }
  vector<float> floats(int64_t n) { return made<float>(n); }
  vector<double> doubles(int64_t n) { return made<double>(n); }
  vector<uint64_t> seeds(int64_t n) {
    vector<uint64_t> all(n);
    for (uint64_t& each : all) each = next();
    return all;
  }
  // Bytes of n values of a type: bfloat16 is the upper half of a float, float16 some near 1.
  vector<char> typed(int dtype, int64_t n) {
    if (dtype == PDC_FLOAT64) return bytes(doubles(n));
    const vector<float> values = floats(n);
    if (dtype == PDC_FLOAT32) return bytes(values);
    vector<uint16_t> halves(n);
    for (int64_t i = 0; i < n; ++i) {
      uint32_t word;
      memcpy(&word, &values[i], sizeof word);
      halves[i] = static_cast<uint16_t>(dtype == PDC_BFLOAT16 ? word >> 16
                                                              : 0x3800u | ((word >> 8) & 0x87FFu));
    }
    return bytes(halves);
  }

 private:
  template <class T>
  vector<T> made(int64_t n) {
    vector<T> all(n);
    for (T& each : all) each = static_cast<T>(about());
    return all;
  }
  template <class T>
  static vector<char> bytes(const vector<T>& of) {
    const char* const first = reinterpret_cast<const char*>(of.data());
    return vector<char>(first, first + of.size() * sizeof(T));
  }
};

struct Digest {
  uint64_t hash = 0xcbf29ce484222325ull;
  void add(const void* data, size_t size) {
    for (size_t i = 0; i < size; ++i)
      hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3ull;
  }
  template <class T>
  void add(const vector<T>& all) {
    add(all.data(), all.size() * sizeof(T));
  }
  void print(const char* what) const { printf("%s %016" PRIx64 "\n", what, hash); }
};

constexpr int64_t kSizes[][2] = {{1, 1},   {3, 2},   {300, 2},  {70, 3},   {40, 5},
                                 {9, 112}, {2, 513}, {5, 1030}, {2, 7001}, {24, 3072}};
constexpr int kTypes[] = {PDC_FLOAT32, PDC_FLOAT64, PDC_BFLOAT16, PDC_FLOAT16};

void must(int status) {
  if (status != PDC_OK) printf("status %d\n", status);
}

void normals(Numbers& numbers) {
  Digest digest;
  for (const auto& [B, N] : kSizes)
    for (int dtype : kTypes) {
      vector<char> out = numbers.typed(dtype, B * N);
      must(pdc_normal(out.data(), dtype, B, N, numbers.seeds(B).data(), 3, 5));
      digest.add(out);
    }
  digest.print("normals");
}

void corruptions(Numbers& numbers) {
  Digest digest;
  for (const auto& [B, N] : kSizes)
    for (int dtype : kTypes) {
      vector<unsigned char> pixels(B * N);
      for (unsigned char& each : pixels) each = static_cast<unsigned char>(numbers.next() >> 56);
      const vector<float> coefficients = numbers.floats(4 * B);
      const vector<uint64_t> seeds = numbers.seeds(B);
      vector<char> input = numbers.typed(dtype, B * N);
      vector<float> target(B * N);
      const pdc_corruption c = {
          B, N, PDC_UINT8,    dtype,        pixels.data(), coefficients.data(), seeds.data(),
          2, 1, input.data(), target.data()};
      must(pdc_corrupt(&c));
      digest.add(input);
      digest.add(target);
    }
  digest.print("corruptions");
}

void errors(Numbers& numbers) {
  Digest digest;
  for (const auto& [B, N] : kSizes)
    for (int dtype : {PDC_FLOAT32, PDC_BFLOAT16, PDC_FLOAT16}) {
      const vector<char> F = numbers.typed(dtype, B * N);
      const vector<float> target = numbers.floats(B * N), factor = numbers.floats(B);
      vector<float> means(B);
      vector<char> first(F.size()), second(F.size());
      float loss;
      const pdc_squared s = {B, N, dtype, F.data(), target.data()};
      must(pdc_squared_error(&s, factor.data(), means.data(), &loss, 0.25f, N, first.data()));
      must(pdc_squared_gradient(&s, factor.data(), 1, second.data()));
      digest.add(means);
      digest.add(&loss, sizeof loss);
      digest.add(first);
      digest.add(second);
    }
  digest.print("errors");
}

void weights(Numbers& numbers) {
  Digest digest;
  constexpr int64_t kCount = 6, kRows = 7;
  const int64_t sizes[kCount] = {33, 1, 1025, 0, 120000, 31};
  vector<vector<float>> all;
  vector<float*> tensors;
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t i = 0; i < kCount; ++i) {
      all.push_back(row == 4 ? vector<float>{2} : numbers.floats(sizes[i]));
      if (row == 3)
        for (float& v : all.back()) v *= v;
      tensors.push_back(all.back().data());
    }
  tensors[5 * kCount + 2] = nullptr;  // no such average
  tensors[5] = nullptr;               // no gradient
  const pdc_weights w = {kCount, 2, sizes, tensors.data()};
  const double beta[] = {0.25, 0.9990234375};
  const pdc_adamw a = {0.125, 0.875, 0.984375, 1e-8, 0.0625, 0.5, beta};
  double norm;
  must(pdc_gradient_norm(&w, &norm));
  must(pdc_adamw_step(&w, &a));
  digest.add(&norm, sizeof norm);
  for (const vector<float>& each : all) digest.add(each);
  digest.print("weights");
}

struct Shape {
  int64_t B, N;
  int K, M;
  int64_t channels;
};

void row(Numbers& numbers, const Shape& shape, int state_dtype, int dtype, Digest* digest) {
  const auto [B, N, K, M, channels] = shape;
  const int32_t in[] = {K, K}, draws[] = {M, M};
  const vector<double> A = numbers.doubles(2 * K * K), f = numbers.doubles(2 * K),
                       d = numbers.doubles(2 * K), S = numbers.doubles(2 * K * M),
                       skip = numbers.doubles(2), out = numbers.doubles(2),
                       scale = numbers.doubles(2), w = numbers.doubles(2 * B);
  const vector<uint32_t> stream = {1, 2, 3, 4, 5, 6}, purpose = {1, 1, 1, 2, 2, 2};
  const vector<uint64_t> seeds = numbers.seeds(B);
  vector<char> state = numbers.typed(state_dtype, K * B * N), input = numbers.typed(dtype, B * N);
  const vector<char> F = numbers.typed(dtype, B * N), u = numbers.typed(dtype, B * N);
  const pdc_table table = {2,
                           K,
                           M,
                           in,
                           in,
                           draws,
                           nullptr,
                           nullptr,
                           A.data(),
                           f.data(),
                           d.data(),
                           S.data(),
                           stream.data(),
                           purpose.data(),
                           skip.data(),
                           out.data(),
                           scale.data(),
                           w.data(),
                           1,
                           1,
                           -0.5,
                           0.5};
  const pdc_tensors tensors = {
      B, N, state_dtype, dtype, state.data(), input.data(), seeds.data(), channels};
  pdc_program* const program = pdc_program_create(&table, &tensors);
  if (!program) return must(-1);
  must(pdc_program_advance(program, 1, F.data(), u.data(), nullptr, nullptr));
  pdc_program_destroy(program);
  digest->add(state);
  digest->add(input);
}

void rows(Numbers& numbers) {
  Digest digest;
  constexpr Shape kShapes[] = {{40, 5, 1, 0, 1},   {9, 112, 2, 1, 1},  {5, 1030, 4, 2, 1},
                               {300, 2, 3, 1, 1},  {2, 7001, 6, 3, 1}, {2, 2060, 2, 1, 4},
                               {1, 2310, 3, 2, 70}};
  for (const Shape& shape : kShapes)
    for (int state_dtype : {PDC_FLOAT32, PDC_FLOAT64})
      for (int dtype : kTypes) row(numbers, shape, state_dtype, dtype, &digest);
  digest.print("rows");
}

}  // namespace

int main() {
  const char* const target = pdc_target();
  printf("%s\n", target ? target : "(null)");
  if (!target) return 1;
  Numbers numbers = {1};
  normals(numbers);
  corruptions(numbers);
  errors(numbers);
  weights(numbers);
  rows(numbers);
}
