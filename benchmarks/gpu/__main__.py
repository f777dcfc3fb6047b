# SPDX-License-Identifier: Apache-2.0
"""Build, check, measure, print, write: everything on one GPU, in under eight minutes.

    python -m benchmarks.gpu [--build] [--json FILE] [--quick] [--parts NAMES]
    python -m benchmarks.gpu --device cpu --tiny

Exits with 1 where a check does not hold or a part failed; times decide nothing.  A part that fails
is named, and the others run; the JSON file is written anew after every figure.  What no longer fits
into the time is left out and says so: ``--parts rows``, ``--parts policies`` and ``--parts
end_to_end`` give each the whole time.
"""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks.gpu import build

BUILD = "--build"


def main() -> None:
    args = arguments()
    if args.build:
        try:
            print(f"CUDA kernels for {build.build()}", flush=True)
        except RuntimeError as error:
            sys.exit(str(error))
        # This process has looked for the module where it was before.
        rest = [word for word in sys.argv[1:] if word != BUILD]
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.gpu", *rest])
    from benchmarks.gpu.run import run  # imports pydiffcore, which --build builds

    sys.exit(run(args))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(BUILD, action="store_true", help="build the CUDA kernels first, with pip")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, in under five minutes")
    parser.add_argument("--parts", metavar="NAMES", help="of bits,count,rows,policies,end_to_end")
    parser.add_argument("--device", default="cuda", help="default cuda")
    parser.add_argument("--tiny", action="store_true", help="tests the script, on a CPU too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
