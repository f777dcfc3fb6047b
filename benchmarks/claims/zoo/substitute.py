# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that puts our scheduler classes in the place of diffusers', before any import.

    pytest -p benchmarks.claims.zoo.substitute path/to/diffusers/tests/schedulers

Names imported from ``diffusers``, from ``diffusers.schedulers`` and from a scheduler's own module
are then ours.
"""

from __future__ import annotations

import sys

import diffusers

import pydiffcore.adapters.diffusers as ours


def substitute() -> list[str]:
    """Replace the classes and return their names."""
    classes = {name: getattr(ours, name) for name in ours.FAMILIES}  # each has its own as a base
    for name, cls in classes.items():
        theirs = getattr(diffusers, name)
        for module in (diffusers, diffusers.schedulers, sys.modules[theirs.__module__]):
            setattr(module, name, cls)
    return sorted(classes)


NAMES = substitute()


def pytest_report_header() -> str:
    """Say so at the top of the run."""
    return f"substituted: {', '.join(NAMES)}"
