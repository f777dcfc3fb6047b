// SPDX-License-Identifier: Apache-2.0
#define PDC_TARGET baseline
#include "body.inl"
