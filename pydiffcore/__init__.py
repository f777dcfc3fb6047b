# SPDX-License-Identifier: Apache-2.0
"""The compiled core of diffusion sampling: samplers as mathematics, one fused kernel per call."""

from pydiffcore import exact as exact
from pydiffcore import levels as levels
from pydiffcore import prediction as prediction
from pydiffcore import process as process
from pydiffcore import samplers as samplers
from pydiffcore.capture import Captured as Captured
from pydiffcore.capture import capture as capture
from pydiffcore.denoiser import Denoiser as Denoiser
from pydiffcore.direct import direct as direct
from pydiffcore.guidance import Guidance as Guidance
from pydiffcore.ops.noise import normal as normal
from pydiffcore.ops.runner import Runner as Runner
from pydiffcore.plan import Plan as Plan
from pydiffcore.plan import TraceError as TraceError
from pydiffcore.plan import trace as trace
from pydiffcore.sample import Step as Step
from pydiffcore.sample import sample as sample
from pydiffcore.sample import trajectory as trajectory
from pydiffcore.search import optimal_levels as optimal_levels
from pydiffcore.search import truncation_error as truncation_error

__version__ = "0.1.0"
