# SPDX-License-Identifier: Apache-2.0
"""What a step returns as a tuple: the second thing is computed when it is looked at.

Pipelines ask for tuples and take the first element; the denoised prediction would cost as much
memory traffic as the step itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

__all__ = ["Pair"]


class Pair(tuple[Any, ...]):
    """(first, make()), where ``make`` reads the tensors ``of`` as they were.

    Raises:
        RuntimeError: one of them was changed in place before the second element was looked at.

    """

    _make: Callable[[], Tensor]
    _of: list[tuple[Tensor, int]]

    def __new__(cls, first: Tensor, make: Callable[[], Tensor], of: tuple[Tensor, ...]) -> Pair:
        pair = super().__new__(cls, (first, None))
        pair._make = make
        pair._of = [(each, each._version) for each in of if not each.is_inference()]
        return pair

    def _second(self) -> Tensor:
        if "_made" not in self.__dict__:
            if any(each._version != version for each, version in self._of):
                raise RuntimeError(
                    "the sample or the network's output was changed in place before the second "
                    "element of the step's result was looked at: look at it first"
                )
            self._made = self._make()
        return self._made

    def __getitem__(self, index: Any) -> Any:
        if index == 0:
            return super().__getitem__(0)
        return (super().__getitem__(0), self._second())[index]

    def __iter__(self) -> Iterator[Any]:
        yield super().__getitem__(0)
        yield self._second()

    def __eq__(self, other: object) -> bool:
        return tuple(self) == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __contains__(self, value: object) -> bool:
        return value in tuple(self)

    def __add__(self, other: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self) + tuple(other)

    def __radd__(self, other: tuple[Any, ...]) -> tuple[Any, ...]:
        return other + tuple(self)

    def __mul__(self, times: Any) -> tuple[Any, ...]:
        return tuple(self) * times

    __rmul__ = __mul__

    def index(self, *arguments: Any) -> int:
        """Return the place of a value."""
        return tuple(self).index(*arguments)

    def count(self, value: Any) -> int:
        """Return how often a value occurs."""
        return tuple(self).count(value)

    def __reduce__(self) -> Any:
        return tuple, (list(self),)

    def __repr__(self) -> str:
        return repr(tuple(self))
