# SPDX-License-Identifier: Apache-2.0
"""Equality with diffusers' schedulers on the same inputs and noise, step by step, to 1e-5.

DDPM (both fixed variances, clipped or not), DDIM (eta 0, 0.5, 1), Euler, EulerAncestral, Heun, LMS,
DPMSolverMultistep 2M and SDE-2M; the cases are those of tests/samplers/test_diffusers.py, each
of which fails on a relative difference above 1e-5 at any step.
"""

from benchmarks.claims import pytests
from benchmarks.claims.claim import Figure, main


def measure():
    outcome = pytests.run(["tests/samplers/test_diffusers.py"])
    yield Figure("cases that differ by more than 1e-5", len(outcome.bad), "<= 0", note=outcome.note)


if __name__ == "__main__":
    main(measure)
