# SPDX-License-Identifier: Apache-2.0
"""A step's result as a tuple: the second element is never seen as anything else."""

import pickle

import pytest
import torch

from pydiffcore.adapters.diffusers.pair import Pair


def made():
    calls = []
    x = torch.ones(2)
    return Pair("x", lambda: calls.append(1) or 2.0, (x,)), calls, x


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (tuple, ("x", 2.0)),
        (lambda p: p[1], 2.0),
        (lambda p: p[:], ("x", 2.0)),
        (lambda p: p[-1], 2.0),
        (lambda p: p.__add__((3,)), ("x", 2.0, 3)),
        (lambda p: p.__radd__((3,)), (3, "x", 2.0)),
        (lambda p: p * 2, ("x", 2.0, "x", 2.0)),
        (lambda p: 2 * p, ("x", 2.0, "x", 2.0)),
        (lambda p: 2.0 in p, True),
        (lambda p: None in p, False),
        (lambda p: p.count(None), 0),
        (lambda p: p.index(2.0), 1),
        (lambda p: p == ("x", 2.0), True),
        (lambda p: pickle.loads(pickle.dumps(p)), ("x", 2.0)),
        (lambda p: (lambda a, b: b)(*p), 2.0),
        (repr, "('x', 2.0)"),
    ],
)
def test_every_way_to_look(look, expected):
    pair, calls, _ = made()
    assert look(pair) == expected
    look(pair)
    assert len(calls) == 1


def test_the_first_costs_nothing_and_a_change_is_noticed():
    pair, calls, x = made()
    assert pair[0] == "x"
    assert not calls
    x += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        pair[1]
