// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10: a bijection of 128-bit counters, one for each 64-bit key.
// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once
#include "functor.h"

namespace pdc {
namespace PDC_TARGET {

// Words live in the low halves of 64-bit lanes; the high halves hold leftovers that no operation
// reads, which saves a mask in every round.
template <class W>
struct Words {
  W w0, w1, w2, w3;
};

template <class L, class K>
PDC_HD Words<typename L::W> philox_round(const Words<typename L::W>& c, K key_low, K key_high) {
  const typename L::W p0 = L::multiply(c.w0, 0xD2511F53u), p1 = L::multiply(c.w2, 0xCD9E8D57u);
  return {(p1 >> 32) ^ c.w1 ^ key_low, p1, (p0 >> 32) ^ c.w3 ^ key_high, p0};
}

template <class K>
PDC_HD void next_round_keys(K* key_low, K* key_high) {
  *key_low = *key_low + uint64_t{0x9E3779B9u};
  *key_high = *key_high + uint64_t{0xBB67AE85u};
}

template <class L, class K>
PDC_HD Words<typename L::W> philox(Words<typename L::W> c, K key_low, K key_high) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    c = philox_round<L>(c, key_low, key_high);
    next_round_keys(&key_low, &key_high);
  }
  return c;
}

// The block that holds elements 4*block … 4*block+3 of a sample.
PDC_HD Words<uint64_t> philox_block(uint64_t block, uint64_t seed, uint32_t stream,
                                    uint32_t purpose) {
  return philox<Scalar, uint64_t>({block, block >> 32, stream, purpose}, seed, seed >> 32);
}

}  // namespace PDC_TARGET
}  // namespace pdc
