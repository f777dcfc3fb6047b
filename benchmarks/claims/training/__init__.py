# SPDX-License-Identifier: Apache-2.0
"""What training promises: digits, the data's score, the same bits on any ranks, what steps cost."""

ORDER = ["presets", "scores", "killed", "ranks", "nonsense", "policy", "speed"]
