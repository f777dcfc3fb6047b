# SPDX-License-Identifier: Apache-2.0
"""Functions that torch.compile leaves as they are: it calls them between two of its graphs.

Seeds and levels are numbers of the host, new at every step: a graph that held them would be
compiled at every step.  The compiler is neither imported here nor asked for outside of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ["uncompiled"]

Function = TypeVar("Function", bound=Callable[..., Any])


def uncompiled(function: Function) -> Function:
    """Return the function, which torch.compile will not trace."""
    beside = torch._disable_dynamo(function)

    @functools.wraps(function)
    def either(*args: Any, **options: Any) -> Any:
        if torch.compiler.is_compiling():
            return beside(*args, **options)
        return function(*args, **options)

    return either  # type: ignore[return-value]
