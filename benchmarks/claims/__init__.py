# SPDX-License-Identifier: Apache-2.0
"""Claims as commands: every figure of the documentation is printed by a script of this package."""
