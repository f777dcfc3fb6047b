# SPDX-License-Identifier: Apache-2.0
"""Networks: plain functions of tensors that know nothing of diffusion."""

from pydiffcore.networks.classifier import Classifier as Classifier
from pydiffcore.networks.unet import UNet as UNet
