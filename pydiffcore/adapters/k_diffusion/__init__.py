# SPDX-License-Identifier: Apache-2.0
"""k-diffusion's samplers and lists of levels by its own names.

``import pydiffcore.adapters.k_diffusion as sampling`` stands for
``from k_diffusion import sampling``.
"""

from pydiffcore.adapters.k_diffusion.deterministic import sample_dpm_2 as sample_dpm_2
from pydiffcore.adapters.k_diffusion.deterministic import sample_dpm_fast as sample_dpm_fast
from pydiffcore.adapters.k_diffusion.deterministic import sample_dpmpp_2m as sample_dpmpp_2m
from pydiffcore.adapters.k_diffusion.deterministic import sample_euler as sample_euler
from pydiffcore.adapters.k_diffusion.deterministic import sample_heun as sample_heun
from pydiffcore.adapters.k_diffusion.deterministic import sample_lms as sample_lms
from pydiffcore.adapters.k_diffusion.edm import edm_network as edm_network
from pydiffcore.adapters.k_diffusion.noise import default_noise_sampler as default_noise_sampler
from pydiffcore.adapters.k_diffusion.sigmas import get_sigmas_exponential as get_sigmas_exponential
from pydiffcore.adapters.k_diffusion.sigmas import get_sigmas_karras as get_sigmas_karras
from pydiffcore.adapters.k_diffusion.sigmas import (
    get_sigmas_polyexponential as get_sigmas_polyexponential,
)
from pydiffcore.adapters.k_diffusion.sigmas import get_sigmas_vp as get_sigmas_vp
from pydiffcore.adapters.k_diffusion.stochastic import (
    sample_dpm_2_ancestral as sample_dpm_2_ancestral,
)
from pydiffcore.adapters.k_diffusion.stochastic import sample_dpmpp_2m_sde as sample_dpmpp_2m_sde
from pydiffcore.adapters.k_diffusion.stochastic import (
    sample_dpmpp_2s_ancestral as sample_dpmpp_2s_ancestral,
)
from pydiffcore.adapters.k_diffusion.stochastic import sample_dpmpp_3m_sde as sample_dpmpp_3m_sde
from pydiffcore.adapters.k_diffusion.stochastic import sample_dpmpp_sde as sample_dpmpp_sde
from pydiffcore.adapters.k_diffusion.stochastic import (
    sample_euler_ancestral as sample_euler_ancestral,
)
