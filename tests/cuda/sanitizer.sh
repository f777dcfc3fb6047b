#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests of bits on a CUDA device under compute-sanitizer: no access out of bounds, no race.
# Needs a device and the CUDA toolkit. Every tensor gets memory of its own, so that an access past
# its end is one past an allocation.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v compute-sanitizer > /dev/null || {
  echo "compute-sanitizer is not on the PATH; it comes with the CUDA toolkit" >&2
  exit 2
}
python=${PYTHON:-python3}
[[ -x .venv/bin/python ]] && python=.venv/bin/python

for tool in memcheck racecheck synccheck; do
  echo "== $tool"
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" --error-exitcode 1 \
    "$python" -m pytest -q -m gpu -k test_bits tests/ops/test_gpu_bits.py
done
