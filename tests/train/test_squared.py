# SPDX-License-Identifier: Apache-2.0
"""The squared error and its gradient against autograd's own, to the bit."""

import pytest
import torch

from pydiffcore.train.squared import squared_error, weighted_loss


def plain(output, target, factor=None):
    error = (output - target).square()
    return error.mean() if factor is None else (error.view(len(error), -1).mean(1) * factor).mean()


def batch(shape=(6, 3, 5, 7), dtype=torch.float32, weighted=True):
    generator = torch.Generator().manual_seed(1)
    output = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    factor = torch.rand(shape[0], generator=generator) + 0.1 if weighted else None
    return output, torch.randn(shape, generator=generator), factor


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (6, 3, 5, 7), (5, 33), (4,), (3, 1001)])
def test_same_bits_as_autograd(shape, dtype, weighted):
    output, target, factor = batch(shape, dtype, weighted)
    losses = [f(output, target, factor) for f in (weighted_loss, plain)]
    grads = [torch.autograd.grad(3 * loss, output)[0] for loss in losses]
    assert losses[0].dtype == losses[1].dtype
    assert torch.equal(*losses)
    assert grads[0].dtype == dtype
    assert torch.equal(*grads)
    assert grads[0].abs().max() > 0


def test_two_calls_and_two_backwards_give_the_same_bits():
    output, target, factor = batch()
    loss = weighted_loss(output, target, factor)
    first = torch.autograd.grad(loss, output, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, output)[0])
    assert torch.equal(loss, weighted_loss(output, target, factor))


def test_gradients_of_every_argument_and_of_the_gradients():
    output, target, factor = (x.detach().double().requires_grad_() for x in batch((3, 2, 2)))
    for f in (weighted_loss, lambda a, b, c: (squared_error(a, b).exp() * c).sum()):
        assert torch.autograd.gradcheck(f, (output, target, factor))
        assert torch.autograd.gradgradcheck(f, (output, target, factor))
    assert torch.autograd.gradgradcheck(weighted_loss, (output, target))


def test_nothing_but_output_and_target_is_kept():
    kept = []
    output, target, _ = batch()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        weighted_loss(output, target)
    assert sorted(t.data_ptr() for t in kept) == sorted(t.data_ptr() for t in (output, target))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled(backend):
    layer = torch.nn.Linear(7, 7)

    def loss(x, target, factor):
        return weighted_loss(layer(x), target, factor)

    x, target, factor = batch((6, 7))
    compiled = torch.compile(loss, backend=backend, fullgraph=True)
    results = []
    for f in (loss, compiled):
        layer.zero_grad()
        value = f(x, target, factor)
        value.backward()
        results.append((value.detach(), layer.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-7)


def test_strides_do_not_matter():
    output, target, factor = batch((6, 4, 4))
    turned = output.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    losses = [weighted_loss(x, target, factor) for x in (output, turned)]
    torch.testing.assert_close(*losses)
    for loss, x in zip(losses, (output, turned), strict=True):
        loss.backward()
        assert x.grad.shape == x.shape
    assert torch.equal(output.grad, turned.grad)


def test_what_is_wrong_is_named():
    output, target, factor = batch()
    with pytest.raises(ValueError, match=r"output has shape \(6, 3, 5, 7\), expected that of"):
        weighted_loss(output, target[:, :1], factor)
    with pytest.raises(ValueError, match=r"factor has shape \(5,\), expected \(6,\)"):
        weighted_loss(output, target, factor[:5])
    with pytest.raises(ValueError, match="at least one sample"):
        squared_error(output[:0], target[:0])
