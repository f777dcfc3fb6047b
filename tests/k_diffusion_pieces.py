# SPDX-License-Identifier: Apache-2.0
"""Functions and classes of k-diffusion's training files, which need much to be imported whole."""

import ast
import functools
import math
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch


def pieces(file, *beginnings, **names):
    """What a file defines under names that begin so, run by itself; the test skips without it."""
    spec = find_spec("k_diffusion")
    if spec is None:
        pytest.skip("k-diffusion is not installed")
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text())

    def wanted(node):
        targets = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
        return any(n.startswith(beginnings) for n in [getattr(node, "name", ""), *targets])

    tree.body = [node for node in tree.body if wanted(node)]
    scope = {
        "torch": torch, "math": math, "threading": threading, "contextmanager": contextmanager,
        "nn": torch.nn, "reduce": functools.reduce, "lru_cache": functools.lru_cache, **names,
    }  # fmt: skip
    exec(compile(tree, file, "exec"), scope)
    return SimpleNamespace(**scope)
