# SPDX-License-Identifier: Apache-2.0
"""The comparison with diffusers with our rows forced to AVX2; torch keeps the best it has.

As ``speed_diffusers``, with ``PYDIFFCORE_TARGET=avx2``: the bar of stochastic rows is then 3.
"""

import os

from benchmarks.claims.claim import main
from benchmarks.claims.core.speed_diffusers import measure

if __name__ == "__main__":
    os.environ["PYDIFFCORE_TARGET"] = "avx2"  # read at the first native call
    main(measure)
