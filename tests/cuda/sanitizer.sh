#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests of bits on a CUDA device under compute-sanitizer: no access out of bounds, no race.
#
#     [EVERY=7] bash tests/cuda/sanitizer.sh [memcheck|racecheck|synccheck ...]
#
# Without a name all three tools run, which takes long: EVERY=7 runs each seventh case, of every
# dtype, size and layout some. Needs a device and the CUDA toolkit. Every tensor gets memory of its
# own, so that an access past its end is one past an allocation. The kernels use no shared memory,
# of which alone racecheck knows: it holds for as long as that stays so.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v compute-sanitizer > /dev/null || {
  echo "compute-sanitizer is not on the PATH; it comes with the CUDA toolkit" >&2
  exit 2
}
python=${PYTHON:-python3}
[[ -z ${PYTHON:-} && -x .venv/bin/python ]] && python=.venv/bin/python
tools=("$@")
[[ $# -gt 0 ]] || tools=(memcheck racecheck synccheck)

for tool in "${tools[@]}"; do
  options=(--tool "$tool" --error-exitcode 1)
  # Libraries ask the driver for what it may not know; a refused launch of ours fails its test.
  [[ $tool != memcheck ]] || options+=(--report-api-errors no)
  echo "== $tool"
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYDIFFCORE_EVERY=${EVERY:-1} \
    compute-sanitizer "${options[@]}" \
    "$python" -m pytest -q -m gpu -k test_bits tests/ops/test_gpu_bits.py
done
