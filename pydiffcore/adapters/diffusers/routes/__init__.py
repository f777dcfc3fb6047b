# SPDX-License-Identifier: Apache-2.0
"""Schedulers by kind: how each one's configuration becomes levels, coefficients and a sampler."""
