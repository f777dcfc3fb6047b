// SPDX-License-Identifier: Apache-2.0
#define PDC_TARGET avx2
#include "body.inl"
