// SPDX-License-Identifier: Apache-2.0
#define PDC_TARGET avx512
#include "body.inl"
