# SPDX-License-Identifier: Apache-2.0
"""Gaussian data whose posterior is known in the sample itself, and a minimiser of losses on it.

The data are made for the noise they will get: of mean M, variance V and without correlation with
it, in the sample itself.  So a loss of second moments has the exact posterior mean as its minimiser
without any error of sampling, and the learned variances the exact posterior variance.
"""

import numpy as np
import torch

from pydiffcore import exact, process
from pydiffcore.ops.noise import TRAINING, normal

B, SHAPE, MEAN, STD = 64, (2, 8), 0.3, 0.6
SEEDS = range(40, 40 + B)
TABLE = process.discrete(process.linear_betas(60, 1e-3, 0.2))


def data():
    """x0 [B, *SHAPE], float32, and its noise z, whose moments are not exactly 0 and 1."""
    z = normal(SEEDS, SHAPE, purpose=TRAINING).double().flatten()
    raw = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    raw = raw - raw.mean()
    centred = z - z.mean()
    raw = raw - (raw @ centred) / (centred @ centred) * centred
    x0 = MEAN + STD * raw / raw.std(correction=0)
    return x0.view(B, *SHAPE).float(), z


X0, Z = data()


def posterior(sigma):
    """D on a grid of x, the grid, and the variance of x0 given x, for the noise of this sample."""
    law = exact.gaussian(np.array([MEAN]), np.array([STD]))
    level = sigma * float(Z.std(correction=0))
    x = np.linspace(-3, 3, 7)[:, None]
    D = law(x, level)
    slope = (D[1] - D[0]) / (x[1] - x[0])
    return x + sigma * float(Z.mean()), D, float(level**2 * slope[0])


def minimise(loss, parameters):
    """Newton's method with autograd's Hessian, its eigenvalues made positive, steps halved."""
    point = parameters.double()
    for _ in range(60):
        gradient = torch.autograd.functional.jacobian(loss, point)
        hessian = torch.autograd.functional.hessian(loss, point)
        curvature, basis = torch.linalg.eigh(hessian)
        step = basis @ ((basis.T @ gradient) / curvature.abs())
        while loss(point - step) > loss(point) and step.abs().max() > 1e-13:
            step = step / 2
        point = point - step
        if step.abs().max() < 1e-9 * (1 + point.abs().max()):
            break
    return point


def linear(point, channels=1):
    """The network F = a input + b; with 2 channels beside it a constant v."""

    def network(x, c_noise):
        F = point[0] * x.double() + point[1]
        return F if channels == 1 else torch.cat([F, point[2].expand(F.shape)], dim=1)

    return network


def denoised(point, kind, sigma, x):
    """D(x) of the network F = a input + b."""
    c_skip, c_out, c_in, _ = (float(c) for c in kind.coefficients(np.array(sigma)))
    a, b = (float(p) for p in point[:2])
    return c_skip * x + c_out * (a * c_in * x + b)


def check_denoiser(point, kind, sigma, tolerance=1e-4):
    x, D, _ = posterior(sigma)
    np.testing.assert_allclose(denoised(point, kind, sigma, x), D, atol=tolerance)
