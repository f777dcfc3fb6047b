# SPDX-License-Identifier: Apache-2.0
"""Schedulers in the place of diffusers' own: the same names, arguments and numbers.

    from pydiffcore.adapters.diffusers import DDIMScheduler
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)

diffusers is imported when the first of them is asked for.
"""

from typing import Any

from pydiffcore.adapters.diffusers.names import FAMILIES

__all__ = ["FAMILIES"]


def __getattr__(name: str) -> Any:
    if name in FAMILIES:
        from pydiffcore.adapters.diffusers.build import scheduler_class

        return scheduler_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *FAMILIES])
