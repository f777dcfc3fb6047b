# SPDX-License-Identifier: Apache-2.0
"""Nodes for ComfyUI: SAMPLERs, which are plans of ours, and SIGMAS of our rules.

A folder in ``custom_nodes`` with one file ``__init__.py`` is enough:

    from pydiffcore.adapters.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

The noise of a stochastic sampler is made from the workflow's seed (image b of a batch has seed + b)
and is the same in any batch and on any device.
"""

from pydiffcore.adapters.nodes import samplers, sigmas
from pydiffcore.adapters.nodes.samplers import INPUTS as INPUTS
from pydiffcore.adapters.nodes.samplers import sampler_function as sampler_function
from pydiffcore.adapters.nodes.sigmas import RULES as RULES

NODE_CLASS_MAPPINGS = {**samplers.NODES, **sigmas.NODES}
NODE_DISPLAY_NAME_MAPPINGS = {
    name: name.replace("PydiffcoreSampler_", "pydiffcore ").replace(
        "PydiffcoreSigmas_", "pydiffcore sigmas "
    )
    for name in NODE_CLASS_MAPPINGS
}
