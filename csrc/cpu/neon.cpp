// SPDX-License-Identifier: Apache-2.0
#define PDC_TARGET neon
#include "body.inl"
