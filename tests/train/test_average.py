# SPDX-License-Identifier: Apache-2.0
import copy
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from pydiffcore.networks import MLP
from pydiffcore.train import posthoc
from pydiffcore.train.average import Fixed, HalfLife, InversePower, Power, copied, move, started
from pydiffcore.train.rates import Rate


def history(kind, values, batch=4):
    """The average of a number that takes these values at steps 1, 2, …."""
    network = nn.Linear(1, 1, bias=False).double()
    average = started(network, {"a": kind})["a"]
    for step, value in enumerate(values, 1):
        network.weight.data.fill_(value)
        move(average, network, kind.beta(step, batch))
    return float(average.weight)


def test_a_ramp_forgets_the_first_weights():
    """The product of all 2^(−1/(0.05 n)): nothing of the start is left."""
    assert history(HalfLife(1e12, ramp=0.05), [1.0] + [0.0] * 100) < 1e-9


def test_a_copy_is_apart_and_has_no_gradient():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    average = copied(network)
    assert not average.training
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in network.parameters())
    assert average[0].weight.data_ptr() != network[0].weight.data_ptr()


def test_buffers_are_taken_as_they_are():
    network = nn.BatchNorm1d(2)
    average = copied(network)
    network.running_mean.fill_(3)
    move(average, network, 0.99)
    assert torch.equal(average.running_mean, network.running_mean)


def test_a_weight_counts_half_after_the_half_life():
    kind = HalfLife(400.0, ramp=0)
    values = [1.0] * 2000 + [0.0] * 100  # 100 steps of 4 images
    assert history(kind, values) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("kind", [InversePower(), Power(0.1)])
def test_the_first_weights_replace_the_average(kind):
    assert history(kind, [3.0]) == 3.0


@pytest.mark.parametrize("relative", [0.05, 0.1, 0.25])
def test_power_averages_have_their_profile(relative):
    n, gamma = 4000, posthoc.exponent(relative)
    assert posthoc.width(gamma) == pytest.approx(relative, rel=1e-9)
    times = np.arange(1, n + 1) / n
    for f, mean in ((times, (gamma + 1) / (gamma + 2)), (times**2, (gamma + 1) / (gamma + 3))):
        assert history(Power(relative), f.tolist()) == pytest.approx(mean, rel=3e-3)


def test_any_width_is_reconstructed_from_two():
    """Of a smooth history the combination is the average that was wanted."""
    n, kinds, kept, snapshots = 2048, [0.05, 0.1], [], []
    values = np.sin(np.arange(1, n + 1) / n * 9) + np.arange(1, n + 1) / n
    network = nn.Linear(1, 1, bias=False).double()
    averages = [started(network, {"a": Power(each)})["a"] for each in kinds]
    wanted = {each: started(network, {"a": Power(each)})["a"] for each in (0.06, 0.08, 0.15)}
    for step, value in enumerate(values, 1):
        network.weight.data.fill_(value)
        for each, average in [*zip(kinds, averages, strict=True), *wanted.items()]:
            move(average, network, Power(each).beta(step, 1))
        if step % 128 == 0:
            for each, average in zip(kinds, averages, strict=True):
                kept.append((each, float(step)))
                snapshots.append({"weight": average.weight.detach().clone()})
    for each, average in wanted.items():
        made = posthoc.combined(snapshots, kept, (each, n))["weight"]
        assert abs(float(made) - float(average.weight)) < 2e-3
    same = posthoc.weights(kept, (0.05, n))
    assert same[-2] == pytest.approx(1, abs=1e-6)
    assert np.abs(np.delete(same, -2)).max() < 1e-6


def test_profiles_inner_product_is_the_integral():
    t = (np.arange(400_000) + 0.5) / 400_000 * 5
    for (g, T), (d, S) in [((3.0, 5.0), (7.0, 4.0)), ((0.0, 2.0), (16.0, 5.0))]:
        p = np.where(t < T, (g + 1) * t**g / T ** (g + 1), 0)
        q = np.where(t < S, (d + 1) * t**d / S ** (d + 1), 0)
        made = posthoc._product(*map(np.array, (g, T, d, S)))
        assert float(made) == pytest.approx(float((p * q).mean() * 5), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fixed(1.0), "decay is 1.0"),
        (lambda: HalfLife(0), "images is 0"),
        (lambda: HalfLife(1, ramp=-1), "ramp is -1"),
        (lambda: InversePower(power=0), "power is 0"),
        (lambda: InversePower(most=1.0), "most is 1.0"),
        (lambda: Power(0.3), r"width is 0.3, expected a number in \(0, 0.28\]"),
        (lambda: Rate(0), "peak is 0"),
        (lambda: Rate(kind="step"), "kind is 'step', expected one of constant"),
        (lambda: Rate(warmup=0), "warmup is 0"),
        (lambda: posthoc.weights([], (0.1, 1)), "kept is empty"),
        (lambda: posthoc.weights([(0.1, 5)], (0.1, 6)), "none later"),
        (lambda: posthoc.combined([], [(0.1, 5)], (0.1, 5)), "0 snapshots, expected 1"),
    ],
)
def test_what_is_out_of_range_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_rates():
    assert Rate(2.0, warmup=4).at(0, 10) == 0.5
    assert Rate(2.0, warmup=4).at(7, 10) == 2.0
    assert Rate(2.0, "cosine").at(5, 10) == pytest.approx(1.0)
    assert Rate(2.0, "inverse_sqrt", reference=100).at(99, 10**4) == 2.0
    assert Rate(2.0, "inverse_sqrt", reference=100).at(400, 10**4) == 1.0


def test_fixed_buffers_are_no_combination():
    """Frequencies times 1.12 are other frequencies: they come as they are, named or not."""
    network = MLP(features=2, width=8, depth=1)
    averages = {w: started(network, {"a": Power(w)})["a"] for w in (0.05, 0.1)}
    kept, snapshots = [], []
    for step in range(1, 65):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        for width, average in averages.items():
            move(average, network, Power(width).beta(step, 1))
            if step % 16 == 0:
                kept.append((width, float(step)))
                snapshots.append(copy.deepcopy(average.state_dict()))
    named = dict(network.named_parameters())
    paper = posthoc.combined(snapshots, kept, (0.25, 45.0), named, constrained=False)
    for made in (paper, posthoc.combined(snapshots, kept, (0.25, 45.0))):
        assert torch.equal(made["fourier.frequencies"], network.fourier.frequencies)
        assert not torch.equal(made["enter.weight"], snapshots[-1]["enter.weight"])
    with pytest.raises(ValueError, match=r"parameters has \['nothing'\]"):
        posthoc.combined(snapshots, kept, (0.25, 45.0), ["nothing"])


@pytest.mark.parametrize("wanted", [(0.25, 0.7), (0.15, 0.9), (0.02, 1.0)])
def test_coefficients_add_up_to_one(wanted):
    """What does not change while it is averaged is left as it is; the paper's miss that."""
    kept = [(width, at) for at in (0.25, 0.5, 0.75, 1.0) for width in (0.05, 0.1)]
    assert posthoc.weights(kept, wanted).sum() == pytest.approx(1, abs=1e-12)
    free = posthoc.weights(kept, wanted, constrained=False)
    assert abs(free.sum() - 1) > 1e-3
    gram = [posthoc.weights(kept, each, constrained=False) for each in kept]
    np.testing.assert_allclose(gram, np.eye(len(kept)), atol=1e-6)


def test_snapshots_are_read_one_at_a_time():
    class Snapshot(dict):
        pass

    alive = weakref.WeakValueDictionary()
    most = 0

    def read():
        nonlocal most
        for step in range(20):
            alive[step] = snapshot = Snapshot(w=torch.full((3,), float(step)))
            most = max(most, len(alive))
            yield snapshot
            del snapshot

    times = [*range(10, 0, -1), *range(20, 10, -1)]  # the newest is in the middle
    kept = [(0.1, float(time)) for time in times]
    made = posthoc.combined(read(), kept, (0.1, 20.0))["w"]
    in_memory = posthoc.combined(
        [{"w": torch.full((3,), float(step))} for step in range(20)], kept, (0.1, 20.0)
    )
    assert torch.equal(made, in_memory["w"])
    assert most <= 4
