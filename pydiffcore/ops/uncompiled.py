# SPDX-License-Identifier: Apache-2.0
"""Functions that torch.compile leaves as they are: it calls them between two of its graphs.

Seeds and levels are numbers of the host, new at every step: a graph that held them would be
compiled at every step.  Seeds that a compiled function is given should be a tensor, whose values
the compiler does not look at; a range or a list is a constant to it.

The compiler takes seconds to import, which is left to those who compile.
"""

from __future__ import annotations

import functools
import sys
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
        return (beside if "torch._dynamo" in sys.modules else function)(*args, **options)

    either._torchdynamo_disable = True  # type: ignore[attr-defined]  # what torch.compiler.disable sets
    return either  # type: ignore[return-value]
