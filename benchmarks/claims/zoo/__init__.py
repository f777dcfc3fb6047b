# SPDX-License-Identifier: Apache-2.0
"""What the zoo promises: every sampler and schedule of the field, proved; drop-in for its peers."""

ORDER = [
    "diffusers_matrix",
    "diffusers_own_tests",
    "k_diffusion_parity",
    "orders",
    "strong_orders",
    "zoo_laws",
    "trajectory_error",
    "speed",
    "speed_pipe",
    "latency",
    "threads",
    "fuzz",
]
