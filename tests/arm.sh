#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the C library for 64-bit Arm and runs tests/capi_battery.cpp on it, under qemu where this
# machine is another: prints each target and its digests. Wants aarch64-linux-gnu-g++ and
# qemu-aarch64 (Debian: g++-aarch64-linux-gnu qemu-user).
set -euo pipefail
cd "$(dirname "$0")/.."
cmake=${CMAKE:-cmake}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cross=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++)
under=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
compiler=aarch64-linux-gnu-g++
if [ "$(uname -m)" = aarch64 ]; then cross=() under=() compiler=c++; fi

"$cmake" -S . -B "$work" "${cross[@]}" -DPYDIFFCORE_CUDA=OFF -DCMAKE_BUILD_TYPE=Release \
  >"$work/log" 2>&1 && "$cmake" --build "$work" -j2 --target pydiffcore >>"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
"$compiler" -std=c++17 -O2 -Wall -Wextra -Werror -I csrc/include tests/capi_battery.cpp \
  "$work/libpydiffcore.so" -Wl,-rpath,"$work" -o "$work/battery"
for target in neon baseline; do
  PYDIFFCORE_TARGET=$target "${under[@]}" "$work/battery"
done
