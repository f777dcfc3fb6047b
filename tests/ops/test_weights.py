# SPDX-License-Identifier: Apache-2.0
"""Norms, steps of AdamW and averages in native calls: torch's numbers, and what they refuse."""

import numpy as np
import pytest
import torch

from pydiffcore.ops.weights import Weights, fit

SHAPES = [(33,), (3, 5, 7), (1025,), (), (2, 4000)]
NUMBERS = {"rate": 3e-2, "betas": (0.9, 0.95), "eps": 1e-8, "decay": 0.1}


def drawn(seed, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def zeros():
    return [torch.zeros(shape) for shape in SHAPES]


def counts(n=5):
    return [torch.zeros(()) for _ in range(n)]


def norm_of(gradients):
    """The norm in float64."""
    return float(torch.cat([each.double().flatten() for each in gradients]).norm())


def by_hand(w, m, v, g, t):
    """Algorithm 2 of Loshchilov & Hutter in float64, without a schedule."""
    lr, (beta1, beta2), eps, decay = NUMBERS.values()
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
    return w - lr * decay * w - lr * step, m, v


def test_steps_are_those_of_the_formula():
    ours, first, second, steps = drawn(0), zeros(), zeros(), counts()
    weights = Weights(ours, first, second, steps)
    expected = [(each.double(), 0.0, 0.0) for each in drawn(0)]
    for t in range(1, 8):
        gradients = drawn(t)
        assert weights.norm(gradients) == pytest.approx(norm_of(gradients), rel=1e-6)
        weights.step(**NUMBERS)
        expected = [by_hand(*state, g.double(), t)
                    for state, g in zip(expected, gradients, strict=True)]  # fmt: skip
    for found, wanted in zip(zip(ours, first, second, strict=True), expected, strict=True):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a.double(), b, rtol=3e-6, atol=3e-6)
    assert [float(each) for each in steps] == [7.0] * len(SHAPES)


def test_steps_are_as_near_to_torch_as_its_own_two_forms_are_to_each_other():
    def torchs(**options):
        weights = [each.requires_grad_() for each in drawn(0)]
        optimiser = torch.optim.AdamW(weights, lr=3e-2, betas=(0.9, 0.95), weight_decay=0.1,
                                      **options)  # fmt: skip
        for t in range(1, 30):
            for weight, gradient in zip(weights, drawn(t), strict=True):
                weight.grad = gradient
            optimiser.step()
        return torch.cat([each.detach().flatten() for each in weights])

    ours = drawn(0)
    weights = Weights(ours, zeros(), zeros(), counts())
    for t in range(1, 30):
        weights.norm(drawn(t))
        weights.step(**NUMBERS)
    found, fused, single = torch.cat([x.flatten() for x in ours]), torchs(fused=True), torchs()
    apart = float((fused - single).abs().max())
    assert 0 < apart < 1e-5
    assert float((found - fused).abs().max()) < 3 * apart


def test_a_bound_scales_what_the_step_sees():
    ours, theirs = drawn(0), drawn(0)
    one, other = (Weights(each, zeros(), zeros(), counts()) for each in (ours, theirs))
    one.norm(drawn(1))
    one.step(**NUMBERS, clip=0.25)
    other.norm([0.25 * each for each in drawn(1)])
    other.step(**NUMBERS)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 0.9999, 1.0])
def test_averages_follow_the_new_weights(beta):
    ours, averages = drawn(0), drawn(5)
    weights = Weights(ours, zeros(), zeros(), counts(), [averages, [None] * len(SHAPES)])
    weights.norm(drawn(1))
    weights.step(**NUMBERS, towards=(beta, 0.5))
    for average, before, weight in zip(averages, drawn(5), ours, strict=True):
        exact = beta * before.double() + (1 - beta) * weight.double()
        torch.testing.assert_close(average.double(), exact, rtol=2e-7, atol=2e-7)
        if beta in (0.0, 1.0):
            assert torch.equal(average, before if beta else weight)


def test_a_weight_without_a_gradient_stays_and_its_average_does_not():
    ours, averages, steps = drawn(0), drawn(5), counts()
    weights = Weights(ours, zeros(), zeros(), steps, [averages])
    gradients = [None, *drawn(1)[1:]]
    assert weights.norm(gradients) == pytest.approx(norm_of(gradients[1:]), rel=1e-6)
    weights.step(**NUMBERS, towards=(0.0,))
    assert torch.equal(ours[0], drawn(0)[0])
    assert torch.equal(averages[0], ours[0])
    assert [float(each) for each in steps] == [0.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen_in_the_norm(bad):
    gradients = drawn(1)
    gradients[2][1024] = bad
    assert not np.isfinite(Weights(drawn(0), zeros(), zeros(), counts()).norm(gradients))


def test_gradients_in_another_order_of_memory():
    plain = [torch.randn(4, 3, 2, 2)]
    ours = [each.contiguous(memory_format=torch.channels_last) for each in plain]
    alike = [[torch.zeros_like(each) for _ in "12"] for each in (plain[0], ours[0])]
    gradient = torch.randn(4, 3, 2, 2)
    for weights, (first, second) in zip((plain, ours), alike, strict=True):
        both = Weights(weights, [first], [second], counts(1))
        both.norm([gradient])
        both.step(**NUMBERS)
    assert torch.equal(plain[0], ours[0])


def test_autograd_sees_that_a_weight_changed():
    weight = torch.randn(3, requires_grad=True)
    loss = (weight**2).sum()
    weights = Weights([weight], [torch.zeros(3)], [torch.zeros(3)], counts(1))
    weights.norm([torch.ones(3)])
    weights.step(**NUMBERS)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_step_needs_new_gradients():
    ours = drawn(0)
    weights = Weights(ours, zeros(), zeros(), counts())
    weights.norm(drawn(1))
    weights.step(**NUMBERS)
    after = [each.clone() for each in ours]
    weights.step(**NUMBERS)  # nothing was given since
    assert all(torch.equal(a, b) for a, b in zip(ours, after, strict=True))


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"weight 0 .* comes with a torch.float64"):
        Weights([torch.ones(2)], [torch.ones(2).double()], [torch.ones(2)], counts(1))
    with pytest.raises(ValueError, match=r"weight 0 of shape \(2, 3\).*of shape \(3, 2\)"):
        Weights([torch.ones(2, 3)], [torch.ones(3, 2)], [torch.ones(2, 3)], counts(1))
    with pytest.raises(ValueError, match="2 tensors for 1 weights"):
        Weights([torch.ones(2)], [torch.ones(2)] * 2, [torch.ones(2)], counts(1))
    with pytest.raises(ValueError, match=r"strides \(2,\)"):
        Weights([torch.ones(4)[::2]], [torch.ones(2)], [torch.ones(2)], counts(1))
    weights = Weights([torch.ones(2)], [torch.ones(2)], [torch.ones(2)], counts(1))
    with pytest.raises(ValueError, match="2 gradients for 1 weights"):
        weights.norm([torch.ones(2)] * 2)
    for wrong in (torch.ones(3), torch.ones(2).double(), torch.ones(2, device="meta")):
        with pytest.raises(ValueError, match="weight 0"):
            weights.norm([wrong])
    with pytest.raises(ValueError, match="1 betas, expected 0"):
        weights.step(**NUMBERS, towards=(0.5,))


def test_what_fits():
    assert fit([torch.ones(2, 3), torch.ones(2, 3).T, torch.ones(())])
    assert not fit([torch.ones(2).double()])
    assert not fit([torch.ones(2, 6)[:, ::2]])
    assert not fit([torch.ones(3).expand(2, 3)])
    assert not fit([torch.ones(2, device="meta")])


def test_other_memory_is_seen_before_it_is_written():
    ours, averages = drawn(0), drawn(5)
    weights = Weights(ours, zeros(), zeros(), counts(), [averages])
    assert weights.current()
    averages[2].data = averages[2].data.clone()
    assert not weights.current()
    with pytest.raises(RuntimeError, match="has other memory than it had"):
        weights.norm(drawn(1))
