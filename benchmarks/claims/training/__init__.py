# SPDX-License-Identifier: Apache-2.0
"""What training promises: the data's score; the same bits after interruptions and on any ranks."""

ORDER = ["presets", "scores", "killed", "ranks", "nonsense"]
