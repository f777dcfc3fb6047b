# SPDX-License-Identifier: Apache-2.0
"""Networks: plain functions of tensors that know nothing of diffusion.

    F = network(x, c_noise, class_labels)

Every network of ``NETWORKS`` is called like this (``unet1d`` takes an observation in place of the
labels), keeps its constructor's arguments in ``config``, from which
``NETWORKS[name](**network.config)`` builds it again, and gives a tensor like x.
"""

from torch import nn as _nn

from pydiffcore.networks.adm import ADM as ADM
from pydiffcore.networks.classifier import Classifier as Classifier
from pydiffcore.networks.dit import DiT as DiT
from pydiffcore.networks.edm2 import EDM2 as EDM2
from pydiffcore.networks.mlp import MLP as MLP
from pydiffcore.networks.refinenet import RefineNet as RefineNet
from pydiffcore.networks.score_sde import DDPMpp as DDPMpp
from pydiffcore.networks.score_sde import NCSNpp as NCSNpp
from pydiffcore.networks.uncertainty import Uncertainty as Uncertainty
from pydiffcore.networks.unet import UNet as UNet
from pydiffcore.networks.unet1d import UNet1d as UNet1d

NETWORKS: dict[str, type[_nn.Module]] = {
    "adm": ADM,
    "ddpmpp": DDPMpp,
    "dit": DiT,
    "edm2": EDM2,
    "mlp": MLP,
    "ncsnpp": NCSNpp,
    "refinenet": RefineNet,
    "unet": UNet,
    "unet1d": UNet1d,
}
