# SPDX-License-Identifier: Apache-2.0
"""Align Your Steps: eleven levels optimised for a model, interpolated to other numbers of steps."""

import numpy as np

from pydiffcore import process as processes
from pydiffcore.levels.core import Levels, assemble, step_count
from pydiffcore.process import Process

TABLES = {
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


def ays(
    n: int, model: str = "sd1", process: Process | None = None, final_zero: bool = True
) -> Levels:
    """Levels of a table optimised for a model, ln sigma interpolated linearly in the index.

    The table has 10 steps.  With final_zero its last level, that of the 11th entry, is 0.

    Args:
        n: number of steps.
        model: "sd1" (Stable Diffusion 1), "sdxl" or "svd" (Stable Video Diffusion).
        process: the process the levels belong to; that of latent diffusion by default, for svd
            edm().
        final_zero: put 0 in the place of the lowest level, or keep it.

    Raises:
        ValueError: for n < 1 or a model without a table.

    Source: Sabour et al. 2024 (arXiv 2404.14507), the authors' quick start guide.

    """
    if model not in TABLES:
        raise ValueError(f"model must be one of {', '.join(TABLES)}, got {model!r}")
    if process is None:
        latent = processes.discrete(processes.scaled_linear_betas())
        process = processes.edm() if model == "svd" else latent
    table = np.array(TABLES[model])
    places = np.linspace(0.0, table.size - 1.0, step_count(n) + 1)
    sigma = np.exp(np.interp(places, np.arange(table.size), np.log(table)))
    whole = places == np.round(places)
    sigma[whole] = table[places[whole].astype(np.int64)]
    name = f"ays(n={n}, model={model!r})"
    return assemble(sigma[:-1] if final_zero else sigma, final_zero, process, name)
