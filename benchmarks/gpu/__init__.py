# SPDX-License-Identifier: Apache-2.0
"""Checks and measurements on one NVIDIA GPU: ``python -m benchmarks.gpu``."""
