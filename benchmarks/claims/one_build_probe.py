# SPDX-License-Identifier: Apache-2.0
"""What the installed package computes here: run as a plain file under each torch.

    python one_build_probe.py PLAN

Prints JSON: versions, SHA-256 of the compiled files, of 10⁶ normals and of two fused runs. The
network is made of operations that IEEE 754 rounds once, so that torch's version cannot change it.
PLAN is a plan's file; it is written where it does not exist.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

import pydiffcore
from pydiffcore import levels, prediction, samplers
from pydiffcore.ops import native


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def network(x, c_noise):
    return x / (1 + x * x) + c_noise[:, None, None] * x


def probe(path):
    traced = pydiffcore.trace(samplers.dpmpp_2m_sde, levels.karras(20, 0.02), prediction.edm())
    if not path.exists():
        traced.save(path)
    plan = pydiffcore.Plan.load(path)
    library = Path(native.info()["library"])
    module = Path(sys.modules["pydiffcore._core"].__file__)
    run = {"shape": (3, 32), "seeds": range(50)}
    model = pydiffcore.Denoiser(network, prediction.edm())
    normals = pydiffcore.normal(range(100), (10_000,), purpose=1)
    out = {"torch": torch.__version__, "numpy": np.__version__, "openmp": native.info()["openmp"]}
    out |= {"module": sha256(module.read_bytes()), "library": sha256(library.read_bytes())}
    out |= {"normals": sha256(normals.numpy().tobytes()), "plan": plan.hash, "traced": traced.hash}
    for dtype in (torch.float32, torch.float64):
        state = pydiffcore.sample(model, plan, dtype=dtype, backend="native", **run)
        out[f"run {dtype}"] = sha256(state.numpy().tobytes())
    for count in (1, 2):
        torch.set_num_threads(count)
        out[f"threads {count}"] = native.info()["threads"]
    return out


if __name__ == "__main__":
    print(json.dumps(probe(Path(sys.argv[1]))))
