# SPDX-License-Identifier: Apache-2.0
"""What the zoo promises: every sampler and schedule of the field, proved; drop-in for its peers."""

ORDER = [
    "trajectory_error",
    "threads",
]
