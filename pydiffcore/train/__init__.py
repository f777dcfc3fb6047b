# SPDX-License-Identifier: Apache-2.0
"""Training: data, loss, noise levels, the loop, averages and checkpoints."""

from pydiffcore.train.checkpoint import load as load
from pydiffcore.train.checkpoint import save as save
from pydiffcore.train.ema import ema_copy as ema_copy
from pydiffcore.train.ema import ema_update as ema_update
from pydiffcore.train.loop import Progress as Progress
from pydiffcore.train.loop import Recipe as Recipe
from pydiffcore.train.loop import Training as Training
from pydiffcore.train.loop import train as train
from pydiffcore.train.loss import denoising_loss as denoising_loss
from pydiffcore.train.loss import lognormal_levels as lognormal_levels
from pydiffcore.train.model import Model as Model
from pydiffcore.train.model import load_model as load_model
from pydiffcore.train.model import save_model as save_model
from pydiffcore.train.pace import Pace as Pace
from pydiffcore.train.state import load_training as load_training
from pydiffcore.train.state import save_training as save_training
from pydiffcore.train.stop import StopSignal as StopSignal
