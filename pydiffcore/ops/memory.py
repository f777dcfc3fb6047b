# SPDX-License-Identifier: Apache-2.0
"""What the C library does with memory that is freed: on the CPU a part of a step's time."""

from __future__ import annotations

import ctypes

__all__ = ["keep_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MOST = 2**31 - 1  # an int
LARGEST = 2**25  # glibc's own bound of what it need not map by itself


def keep_memory() -> bool:
    """Have the C library keep up to 2 GiB that this process frees; return whether it can.

    A network on the CPU frees its activations and takes memory for them again.  glibc hands it
    back to the system in between, whose pages come anew and zeroed: 17,000 at each training step of
    a U-Net of 32 channels on 16 images.  The commands ``train``, ``quickstart`` and ``sample``
    call this; call it in a program of your own.  It acts on the whole process, and only on glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(TRIM_THRESHOLD, MOST)) and bool(mallopt(MMAP_THRESHOLD, LARGEST))
