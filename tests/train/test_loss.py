# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy import stats

from pydiffcore.ops.corruption import corrupt
from pydiffcore.prediction import edm, eps
from pydiffcore.process import vp
from pydiffcore.train import denoising_loss, denoising_terms, laws, weights

PREDICTIONS = [edm(0.5), eps(vp())]


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.name)
def test_perfect_network_has_no_loss(prediction):
    images = torch.randint(256, (16, 1, 4, 4), dtype=torch.uint8)
    sigma, seeds = np.geomspace(0.02, 20, 16), range(16)
    target = corrupt(images, sigma, prediction, seeds=seeds)[1]
    loss = denoising_loss(lambda x, c: target, images, sigma, prediction, seeds=seeds)
    assert float(loss) == 0


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda p: p.name)
def test_weight_counts_the_error_of_the_denoised_image(prediction):
    """λ|D − x0|² of the network F = 0, whose D is c_skip (x0 + σ z), from the images themselves."""
    x0 = torch.rand(8, 1, 4, 4) * 2 - 1
    sigma, seeds = np.geomspace(0.1, 10, 8), range(8)
    noisy = corrupt(x0, sigma, prediction, seeds=seeds)[0].double()
    c_skip, _, c_in, _ = prediction.coefficients(sigma)
    D = torch.from_numpy(c_skip / c_in)[:, None, None, None] * noisy
    error = (D - x0).square().flatten(1).mean(1).numpy()

    def weight(levels):
        return 1 / levels**2

    loss = denoising_loss(
        lambda x, c: torch.zeros_like(x), x0, sigma, prediction, seeds=seeds, weight=weight
    )
    assert float(loss) == pytest.approx(np.mean(error / sigma**2), rel=1e-4)


def test_edm_target_has_unit_variance_at_every_level():
    """Data of deviation sigma_data: a network that answers 0 loses 1, whatever the level."""
    x0 = 0.5 * torch.randn(4096, 16)
    for sigma in (0.01, 0.5, 30.0):
        loss = denoising_loss(
            lambda x, c: torch.zeros_like(x), x0, np.full(4096, sigma), edm(0.5), seeds=range(4096)
        )
        assert float(loss) == pytest.approx(1, abs=0.03)  # 5 deviations of the mean


def test_gradient_and_condition_reach_the_network():
    scale = torch.ones((), requires_grad=True)
    seen = {}

    def network(x, c_noise, class_labels):
        seen["labels"] = class_labels
        return scale * x

    labels = torch.arange(4)
    denoising_loss(
        network, torch.rand(4, 3), np.full(4, 0.7), edm(), seeds=range(4),
        condition={"class_labels": labels},
    ).backward()  # fmt: skip
    assert seen["labels"] is labels
    assert scale.grad is not None
    assert scale.grad != 0


def test_levels_follow_their_law():
    levels = np.concatenate([laws.lognormal(-0.8, 1.3).sample(range(i, i + 8)) for i in range(500)])
    assert stats.kstest(np.log(levels), "norm", args=(-0.8, 1.3)).pvalue > 1e-3
    assert stats.kstest(np.log(levels), "norm", args=(-0.7, 1.3)).pvalue < 1e-2


def test_levels_are_stratified():
    quantiles = stats.norm.cdf(np.log(laws.lognormal(0.2, 0.7).sample(range(50))), 0.2, 0.7)
    assert np.floor(quantiles * 50).astype(int).tolist() == list(range(50))
    assert np.ptp(quantiles * 50 % 1) > 0.5


def test_levels_depend_on_seeds_and_stream_alone():
    draw = laws.lognormal().sample
    assert np.array_equal(draw(range(9)), draw(range(9)))
    assert not np.array_equal(draw(range(9)), draw(range(1, 10)))
    assert not np.array_equal(draw(range(9)), draw(range(9), 1))


def test_wrong_deviation_is_named():
    with pytest.raises(ValueError, match="std is 0"):
        laws.lognormal(std=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own look
def test_a_compiled_step_keeps_its_graphs_when_seeds_change():
    """Levels, noise and weights are made between the graphs: new seeds compile nothing."""
    layer, law = torch.nn.Conv2d(1, 1, 3, padding=1), laws.lognormal()
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    graphs = []

    def step(images, seeds):
        return denoising_loss(
            lambda x, c: layer(x), images, law.sample(seeds), edm(), seeds=seeds,
            weight=weights.min_snr(),
        )  # fmt: skip

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(step, backend=backend)
    for first in range(0, 48, 4):
        seeds = torch.arange(first, first + 4)
        torch.testing.assert_close(compiled(images, seeds), step(images, seeds))
        found, wanted = (torch.autograd.grad(f(images, seeds), layer.weight)[0]
                         for f in (compiled, step))  # fmt: skip
        torch.testing.assert_close(found, wanted)
        if first == 0:
            before = len(graphs)
    assert len(graphs) == before > 0


@pytest.mark.parametrize("weight", [None, weights.unit_eps()], ids=["no weight", "unit_eps"])
def test_an_output_that_is_no_tensor_is_named(weight):
    def network(x, c_noise):
        return x, None

    with pytest.raises(TypeError, match="output is tuple, expected"):
        denoising_loss(network, torch.zeros(2, 3), [0.1, 1.0], edm(), seeds=[0, 1], weight=weight)


def test_an_encoder_before_the_loss_learns():
    """The gradient to what scales the data is the difference quotient of the loss."""
    images, sigma = torch.randn(4, 2, 3), np.geomspace(0.2, 3, 4)

    def loss(scale):
        given = (lambda x, c: 0.3 * x, scale * images, sigma, edm(0.5))
        return denoising_terms(*given, seeds=range(4), each=0.25).mean()

    scale = torch.tensor(1.3, requires_grad=True)
    loss(scale).backward()
    step = 1e-2
    wanted = (loss(torch.tensor(1.3 + step)) - loss(torch.tensor(1.3 - step))) / (2 * step)
    assert scale.grad.item() == pytest.approx(wanted.item(), rel=1e-3)
