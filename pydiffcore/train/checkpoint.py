# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: tensors in ``name.safetensors``, everything else in ``name.json``.

The JSON holds the SHA-256 of the tensor file and of itself, so that a truncated or altered
checkpoint is refused.  Both files are written beside their place, flushed to disk and renamed.
Renaming the JSON is the commit: until then the former tensors stay as
``name.previous.safetensors``, and whichever tensor file has the SHA-256 that the JSON names is
the checkpoint's.  A process killed at any moment leaves the former or the new checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pydiffcore.atomic import write_atomically

__all__ = ["load", "save"]

FORMAT = "pydiffcore-checkpoint"
VERSION = 1


def _paths(path: str | Path) -> tuple[Path, Path, Path]:
    """Return the JSON, the tensor file and the former tensor file of a checkpoint's name."""
    base = Path(path)
    if base.suffix in (".json", ".safetensors"):
        base = base.with_suffix("")
    return tuple(base.with_name(base.name + end) for end in ENDINGS)  # type: ignore[return-value]


ENDINGS = (".json", ".safetensors", ".previous.safetensors")


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def save(path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: its name, without ending or with either.
        tensors: what to keep in full.
        meta: what describes them, as JSON has it.

    Raises:
        ImportError: safetensors is not installed.
        TypeError, ValueError: meta is nothing that JSON can hold.
    """
    try:
        from safetensors.torch import save as serialise
    except ImportError:
        raise ImportError(
            "checkpoints need safetensors: pip install 'pydiffcore[digits]'"
        ) from None
    text, binary, previous = _paths(path)
    content = serialise({name: t.detach().contiguous().cpu() for name, t in tensors.items()})
    document = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": hashlib.sha256(content).hexdigest(),
        "meta": dict(meta),
    }
    described = json.dumps({**document, "digest": _digest(document)}, indent=1, allow_nan=False)
    text.parent.mkdir(parents=True, exist_ok=True)
    if text.exists() and binary.exists() and _belongs(binary, text):
        previous.unlink(missing_ok=True)
        try:
            os.link(binary, previous)
        except OSError:  # a file system without hard links
            write_atomically(previous, binary.read_bytes())
    write_atomically(binary, content)
    write_atomically(text, described.encode())
    previous.unlink(missing_ok=True)


def _belongs(binary: Path, text: Path) -> bool:
    """Whether the tensors are those that the JSON names, not what an interrupted save left."""
    try:
        named = json.loads(text.read_bytes()).get("sha256")
    except (ValueError, AttributeError):
        return False
    return hashlib.sha256(binary.read_bytes()).hexdigest() == named


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and return (tensors, meta).

    Args:
        path: its name, without ending or with either.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated, altered, or of another format or version.
        ImportError: safetensors is not installed.
    """
    try:
        from safetensors.torch import load as deserialise
    except ImportError:
        raise ImportError(
            "checkpoints need safetensors: pip install 'pydiffcore[digits]'"
        ) from None
    text, binary, previous = _paths(path)
    document = _document(text)
    found = ""
    for candidate in (binary, previous):
        if candidate.exists():
            content = candidate.read_bytes()
            actual = hashlib.sha256(content).hexdigest()
            if actual == document["sha256"]:
                return deserialise(content), document["meta"]
            found = found or f"has SHA-256 {actual} in {len(content)} bytes"
    if not found:
        raise FileNotFoundError(f"{binary} is missing, but {text} belongs to it")
    raise ValueError(
        f"{binary} {found}, expected {document['sha256']}: it was truncated or altered"
    )


def _document(path: Path) -> dict[str, Any]:
    """Return the JSON after all checks that need nothing else."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: there is no such checkpoint")
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no valid JSON ({error}): truncated or altered") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint: its format is not {FORMAT!r}")
    if document.get("version") != VERSION:
        raise ValueError(f"{path} has version {document.get('version')}, expected {VERSION}")
    digest = document.pop("digest", None)
    if digest != _digest(document):
        raise ValueError(f"{path} has digest {digest}, expected {_digest(document)}: altered")
    return document
