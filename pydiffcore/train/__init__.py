# SPDX-License-Identifier: Apache-2.0
"""Training: laws of levels, weightings, losses, the trainer, averages and checkpoints.

A whole training is :func:`pydiffcore.train.run.run` of a configuration
(:func:`pydiffcore.train.config.configured`, which needs pydantic) and a source of data.
"""

from pydiffcore.train.checkpoint import load as load
from pydiffcore.train.checkpoint import save as save
from pydiffcore.train.loss import denoising_loss as denoising_loss
from pydiffcore.train.loss import denoising_terms as denoising_terms
from pydiffcore.train.model import Model as Model
from pydiffcore.train.model import load_model as load_model
from pydiffcore.train.model import save_trained as save_trained
from pydiffcore.train.pace import Pace as Pace
from pydiffcore.train.stop import StopSignal as StopSignal
