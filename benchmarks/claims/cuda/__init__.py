# SPDX-License-Identifier: Apache-2.0
"""What CUDA promises: one launch per call, whole runs as one graph, the bits of the CPU."""

ORDER = ["compiled", "on_device"]
