# SPDX-License-Identifier: Apache-2.0
"""Other projects' names and conventions: they live here and nowhere else."""
