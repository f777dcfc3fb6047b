# SPDX-License-Identifier: Apache-2.0
"""What the core promises: samples, exactness, noise, speed, extension, memory safety, one build."""

ORDER = [
    "quickstart",
    "exactness",
    "float32",
    "diffusers_parity",
    "convergence",
    "laws",
    "compile_time",
    "noise_bits",
    "noise_statistics",
    "host_cost",
    "speed_diffusers",
    "speed_avx2",
    "speed_eager",
    "speed_compile",
    "row_cost",
    "bandwidth",
    "tiny_samples",
    "extending",
    "sanitizers",
    "aliasing",
    "one_build",
    "arm",
]
