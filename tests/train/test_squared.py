# SPDX-License-Identifier: Apache-2.0
"""The squared error and its gradient: autograd's bits on the way back, sums of a fixed order."""

import numpy as np
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
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 1), (6, 3, 5, 7), (5, 33), (4,), (3, 1001), (2, 5000)])
def test_gradients_have_the_bits_of_autograd(shape, dtype, weighted):
    output, target, factor = batch(shape, dtype, weighted)
    losses = [f(output, target, factor) for f in (weighted_loss, plain)]
    grads = [torch.autograd.grad(3 * loss, output)[0] for loss in losses]
    assert losses[0].dtype == losses[1].dtype
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    assert grads[0].dtype == dtype
    assert torch.equal(*grads)
    assert grads[0].abs().max() > 0


def halves(lanes):
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def in_order(values, dtype, lanes=32):
    """Add lane by lane, then by halves."""
    padded = np.zeros(-(-len(values) // lanes) * lanes, dtype)
    padded[: len(values)] = values
    total = np.zeros(lanes, dtype)
    for row in padded.reshape(-1, lanes):
        total = total + row
    return halves(total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 31, 32, 33, 70, 1023, 1024, 1025, 40000])
def test_sums_have_the_order_that_is_written_down(size, dtype):
    output, target, factor = batch((3, size), dtype)
    squares = (output.detach().float() - target).square().numpy()
    chunks = [[in_order(x[k : k + 1024], np.float32) for k in range(0, size, 1024)]
              for x in squares]  # fmt: skip
    means = np.array([in_order(sums, np.float64) / size for sums in chunks])
    m = squared_error(output, target)
    np.testing.assert_array_equal(m.detach().numpy(), means.astype(np.float32))
    loss = in_order(means * factor.double().numpy(), np.float64) / 3
    assert weighted_loss(output, target, factor).item() == np.float32(loss)
    assert weighted_loss(output, target).item() == np.float32(in_order(means, np.float64) / 3)


def test_a_sample_has_the_same_bits_in_any_batch_and_on_any_number_of_threads():
    output, target, _ = batch((40, 3, 33, 33))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(squared_error(output, target).detach())
    finally:
        torch.set_num_threads(threads)
    alone = [
        squared_error(o, t).detach() for o, t in zip(output.split(7), target.split(7), strict=True)
    ]
    for other in (*results[1:], torch.cat(alone)):
        assert torch.equal(results[0], other)


def test_what_is_not_finite_stays_so():
    output, target, _ = batch((4, 50))
    values = output.detach().clone()
    values[1, 3], values[2, 49] = float("inf"), float("nan")
    m = squared_error(values, target)
    assert m.isfinite().tolist() == [True, False, False, True]
    assert m[1].isinf()
    assert m[2].isnan()


def test_two_calls_and_two_backwards_give_the_same_bits():
    output, target, factor = batch()
    loss = weighted_loss(output, target, factor)
    first = torch.autograd.grad(loss, output, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, output)[0])
    assert torch.equal(loss, weighted_loss(output, target, factor))


def test_the_gradient_of_the_first_pass_has_the_bits_of_the_second():
    for weighted in (False, True):
        output, target, factor = batch(weighted=weighted)
        B = len(output)
        terms = squared_error(output, target, factor, each=1 / B)
        given = torch.full((B,), 1 / B)
        ready, later = (torch.autograd.grad(terms, output, given, retain_graph=True)[0]
                        for _ in "12")  # fmt: skip
        assert torch.equal(ready, later)
        given[3] *= 2
        other = torch.autograd.grad(terms, output, given)[0]
        assert torch.equal(other[3], 2 * ready[3])
        assert torch.equal(other[4], ready[4])


def test_a_gradient_that_was_handed_out_is_not_handed_out_again():
    output, target, _ = batch()
    loss = weighted_loss(output, target)
    loss.backward(retain_graph=True)
    once = output.grad.clone()
    loss.backward()
    assert torch.equal(output.grad, 2 * once)


def test_gradients_of_every_argument_and_of_the_gradients():
    output, target, factor = (x.detach().double().requires_grad_() for x in batch((3, 2, 2)))
    for f in (weighted_loss, lambda a, b, c: (squared_error(a, b).exp() * c).sum()):
        assert torch.autograd.gradcheck(f, (output, target, factor))
        assert torch.autograd.gradgradcheck(f, (output, target, factor))
    assert torch.autograd.gradgradcheck(weighted_loss, (output, target))


def test_the_graph_keeps_output_and_target_alone():
    kept = []
    output, target, _ = batch()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        weighted_loss(output, target)
    assert sorted(t.data_ptr() for t in kept) == sorted(t.data_ptr() for t in (output, target))


def test_a_gradient_is_made_at_once_where_it_is_known_and_kept_until_it_is_asked_for():
    output, target, _ = batch()
    loss = weighted_loss(output, target)
    made = loss.grad_fn.gradient
    loss.backward()
    assert loss.grad_fn.gradient is None
    assert torch.equal(output.grad, made)
    assert squared_error(output, target).grad_fn.gradient is None
    assert squared_error(output, target, each=0.5).grad_fn.gradient is not None


@pytest.mark.parametrize("weighted", [False, True])
def test_function_transforms(weighted):
    output, target, factor = batch((6, 7), weighted=weighted)
    output = output.detach()
    wanted = torch.func.grad(plain)(output, target, factor)
    torch.testing.assert_close(torch.func.grad(weighted_loss)(output, target, factor), wanted)
    each = torch.func.vmap(squared_error)(output[:, None], target[:, None])
    torch.testing.assert_close(each[:, 0], squared_error(output, target))


def test_a_learned_factor_with_a_graph_of_its_gradient():
    output, target, factor = batch()
    factor.requires_grad_()
    found, wanted = (
        torch.autograd.grad(f(output, target, factor), (output, factor), create_graph=True)
        for f in (weighted_loss, plain)
    )
    torch.testing.assert_close(found, wanted)
    assert all(each.requires_grad for each in found)


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
    assert torch.equal(*losses)
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
    with pytest.raises(TypeError, match="output is list"):
        squared_error([1.0], target)
    with pytest.raises(TypeError, match=r"target has dtype torch\.uint8"):
        squared_error(output, target.byte())
    with pytest.raises(TypeError, match="factor is float"):
        weighted_loss(output, target, 2.0)
