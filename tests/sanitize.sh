#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the native core with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary folder
# and runs the native tests against it, once per instruction set of this machine. Any report fails.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
bin=$(dirname "$python")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cmake=$bin/cmake
[ -x "$cmake" ] || cmake=cmake
"$cmake" -S . -B "$work/build" -DSKBUILD=2 -DSKBUILD_PROJECT_VERSION=0 \
  -DPYDIFFCORE_SANITIZE=ON -DPYDIFFCORE_CUDA=OFF -DCMAKE_BUILD_TYPE=Release \
  -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >"$work/configure.log"
"$cmake" --build "$work/build" -j2 >"$work/build.log" || { cat "$work/build.log"; exit 1; }
"$cmake" --install "$work/build" --prefix "$work/site" >/dev/null
cp -r pydiffcore "$work/site/"

# -S keeps the editable installation's import hook away from the sanitized copy, and another working
# folder the sources.
cd "$work"
export PYTHONPATH="$work/site:$packages" PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
preload="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libubsan.so)"
targets=$(LD_PRELOAD="$preload" "$python" -S -c '
from pydiffcore.ops import native
assert native.info()["library"].startswith("'"$work"'"), native.info()
assert b"__asan_report" in open(native.info()["library"], "rb").read()
print(*native.info()["targets"])')
check() {
  LD_PRELOAD="$preload" "$python" -S -m pytest -q -p no:cacheprovider -k "not every_target" \
    -c "$root/pyproject.toml" --rootdir="$root" "$@"
}

for target in $targets; do
  if ! PYDIFFCORE_TARGET=$target LD_PRELOAD="$preload" "$python" -S -c '
from pydiffcore.ops import native
native.target()' 2>/dev/null; then
    echo "sanitize: this machine has no $target"
    continue
  fi
  echo "sanitize: $target"
  PYDIFFCORE_TARGET=$target check "$root"/tests/ops/test_{native,noise,corruption,channels,staggered,squared,weights}.py
done
echo "sanitize: the CUDA kernels' bodies on the host"
check "$root/tests/ops/test_cuda_host.py"
echo "sanitize: no report"
