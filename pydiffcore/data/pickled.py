# SPDX-License-Identifier: Apache-2.0
"""A reader of the few pickle opcodes that CIFAR's batches use, which runs nothing.

A pickle is a program for a small stack machine, and its opcode REDUCE calls any function that the
file names.  This machine knows three of them by heart (an array, its dtype, and the encoding of
bytes as Latin-1 that Python 3 writes into protocol 2), builds plain values, and refuses every
other name and every other opcode.  ``pickletools.genops`` splits the bytes into opcodes; it
executes nothing either.
"""

from __future__ import annotations

import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_pickled"]

RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
NDARRAY, DTYPE, ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
INTEGERS = ("BININT", "BININT1", "BININT2")
TEXTS = ("BINUNICODE", "BINBYTES", "SHORT_BINBYTES")
STRINGS = ("BINSTRING", "SHORT_BINSTRING")  # Python 2's bytes; genops returns them as Latin-1
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
MARK = object()


class Name(str):
    """A function or class that the pickle names."""

    __slots__ = ()


class Pixels:
    """An array: empty when the pickle makes it, filled by the state that follows."""

    array: NDArray[np.uint8] | None = None

    def fill(self, state: Any) -> None:
        """Take the state of a NumPy array: version, shape, dtype, order, bytes."""
        version, shape, dtype, fortran, content = state
        if version != 1 or dtype != "uint8" or not isinstance(content, bytes):
            raise ValueError("it holds an array of something else than uint8")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("it holds an array of a wrong shape")
        flat = np.frombuffer(content, np.uint8)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def read_pickled(content: bytes) -> dict[str, Any]:
    """Return the dictionary that a pickle holds: numbers, bytes, lists and uint8 arrays.

    Raises:
        ValueError: it holds anything else, or is truncated.
    """
    machine = Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                break
            machine.do(opcode.name, argument)
        result = machine.stack[0] if len(machine.stack) == 1 else None
        if not isinstance(result, dict):
            raise ValueError("it holds no dictionary")
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no pickle of the expected form ({type(error).__name__})") from None
    return {key: _plain(value) for key, value in result.items()}


class Machine:
    """The stack, and what the pickle remembers of it."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Execute one opcode."""
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in INTEGERS or name in TEXTS:
            stack.append(argument)
        elif name in STRINGS:
            stack.append(argument.encode("latin-1"))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memory[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memory[argument])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "MARK"):
            new = {"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": (), "MARK": MARK}[name]
            stack.append(new)
        elif name == "GLOBAL":
            stack.append(_known(argument))
        else:
            self._combine(name)

    def _combine(self, name: str) -> None:
        """Execute an opcode that takes values off the stack."""
        stack = self.stack
        if name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name == "APPEND":
            value = stack.pop()
            stack[-1].append(value)
        elif name == "APPENDS":
            values = self._marked()
            stack[-1].extend(values)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][_text(key)] = value
        elif name == "SETITEMS":
            values = self._marked()
            pairs = zip(values[::2], values[1::2], strict=True)
            stack[-1].update((_text(key), value) for key, value in pairs)
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_made(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Pixels):
                stack[-1].fill(state)
        else:
            raise ValueError(f"it uses the pickle opcode {name}, which such a file has no need of")

    def _marked(self) -> list[Any]:
        """Take everything above the last mark off the stack."""
        place = max(i for i, value in enumerate(self.stack) if value is MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values


def _known(argument: str) -> Name:
    if argument not in (*RECONSTRUCT, NDARRAY, DTYPE, ENCODE):
        raise ValueError(f"it asks for {argument.replace(' ', '.')} to be called: refused, not run")
    return Name(argument)


def _made(function: Any, arguments: Any) -> Any:
    """Return what one of the known functions makes."""
    if not isinstance(function, Name):
        raise ValueError("it calls something that is no function")
    if function in RECONSTRUCT and arguments[0] == NDARRAY:
        return Pixels()
    if function == DTYPE and _text(arguments[0]) == "u1":
        return "uint8"
    if function == ENCODE and _text(arguments[1]) == "latin1":
        return arguments[0].encode("latin-1")
    raise ValueError(f"it calls {function.replace(' ', '.')} with arguments of its own")


def _text(value: Any) -> str:
    # Nothing deeper is looked into: hashing or printing nested values can exhaust the stack.
    if not isinstance(value, str | bytes):
        raise ValueError(f"it has a {type(value).__name__} in the place of a text")
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, Pixels) else value
