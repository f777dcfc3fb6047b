# SPDX-License-Identifier: Apache-2.0
"""What the zoo promises: every sampler and schedule of the field, proved; drop-in for its peers."""

ORDER = [
    "k_diffusion_parity",
    "trajectory_error",
    "threads",
]
