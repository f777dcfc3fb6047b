# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from networks.cases import alive, build, inputs

from pydiffcore.networks import EDM2, Uncertainty
from pydiffcore.networks.edm2 import Block, CosineAttention
from pydiffcore.networks.magnitude import (
    MPFourier,
    Weight,
    mp_cat,
    mp_silu,
    mp_sum,
    pixel_norm,
)


def rms(x):
    return float(x.detach().square().mean().sqrt())


def wide():
    """A network wide enough that magnitudes are near their expectation."""
    torch.manual_seed(0)
    return EDM2(classes=4, size=8, width=64, multipliers=(1, 2), blocks=2, attention=(4,)).eval()


@pytest.mark.parametrize(("width", "millions"), [(128, 124.7), (448, 1523.2)])
def test_sizes_are_those_of_the_paper(width, millions):
    """Karras et al. 2024, table 2: XS and XXL."""
    with torch.device("meta"):
        count = sum(p.numel() for p in EDM2(width=width).parameters())
    assert round(count / 1e6, 1) == millions


def test_operations_keep_magnitudes():
    a, b = torch.randn(64, 40, 8, 8), torch.randn(64, 24, 8, 8)
    assert rms(mp_silu(a)) == pytest.approx(1, abs=0.01)
    for t in (0.0, 0.3, 0.5, 1.0):
        assert rms(mp_sum(a, a.flip(0), t)) == pytest.approx(1, abs=0.01)
        assert rms(mp_cat(a, b, t)) == pytest.approx(1, abs=0.01)
    assert rms(MPFourier(4096)(torch.randn(64))) == pytest.approx(1, abs=0.02)
    assert rms(Weight(40, 512, kernel=1)(a)) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(
        pixel_norm(5 * a).square().mean(1), torch.ones(64, 8, 8), rtol=1e-3, atol=0
    )


def test_parts_of_a_concatenation_contribute_equally():
    joined = mp_cat(torch.randn(8, 30, 8, 8), torch.randn(8, 10, 8, 8), 0.5)
    left, right = joined[:, :30].square().sum(), joined[:, 30:].square().sum()
    assert float(left / right) == pytest.approx(1, abs=0.1)


def test_every_block_keeps_magnitudes_at_the_start():
    network, seen = wide(), []
    for module in network.modules():
        if isinstance(module, Block | CosineAttention):
            module.register_forward_hook(lambda m, i, out: seen.append(rms(out)))
    with torch.no_grad():
        network.gain.fill_(1)
    x = torch.randn(8, 4, 8, 8)
    F = network(x, torch.randn(8), torch.arange(8) % 5)
    assert len(seen) > 10
    assert all(0.8 < each < 1.25 for each in seen), seen
    assert rms(F) == pytest.approx(1, abs=0.2)


def test_weights_have_norm_one_after_normalisation():
    network = wide()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter)).mul_(3)
    network.normalise_weights()
    for module in network.modules():
        if isinstance(module, Weight):
            rows = module.weight.flatten(1)
            ones = torch.ones(len(rows))
            torch.testing.assert_close(rows.square().mean(1), ones, rtol=1e-3, atol=0)
            norms = module.unit().flatten(1).norm(dim=1)
            torch.testing.assert_close(norms, ones, rtol=1e-3, atol=0)


def test_normalisation_leaves_the_function():
    network = alive("edm2")
    arguments = inputs(network)
    F = network(*arguments)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Weight):
                module.weight.mul_(7)
    torch.testing.assert_close(network(*arguments), F, rtol=1e-2, atol=1e-3)
    network.normalise_weights()
    torch.testing.assert_close(network(*arguments), F, rtol=1e-2, atol=1e-3)


def test_gradients_are_orthogonal_to_the_weights():
    """A step along the gradient turns a weight and does not stretch it."""
    network = alive("edm2")
    network(*inputs(network)).square().sum().backward()
    for module in network.modules():
        if isinstance(module, Weight):
            w, g = module.weight.detach().flatten(1), module.weight.grad.flatten(1)
            along = (w * g).sum(1).abs()
            assert (along <= 2e-3 * w.norm(dim=1) * g.norm(dim=1) + 1e-6).all()


def test_a_label_is_a_one_hot_vector_of_magnitude_one():
    network = build("edm2")
    c_noise, labels = torch.randn(4), torch.tensor([0, 1, 2, 3])
    e = network.number(network.fourier(c_noise))
    one_hot = torch.nn.functional.one_hot(labels, 4)[:, :3] * 3**0.5
    expected = mp_silu(mp_sum(e, network.label(one_hot.float()), 0.5))
    torch.testing.assert_close(network.embed(c_noise, labels), expected, rtol=1e-4, atol=1e-5)


def test_activations_are_cut():
    network = alive("edm2")
    x, *rest = inputs(network)
    assert network(1e6 * x, *rest).isfinite().all()
    assert network.half()((1e3 * x).half(), *rest).isfinite().all()


def test_uncertainty_is_a_number_per_level():
    torch.manual_seed(0)
    u = Uncertainty(width=64)
    c_noise = torch.randn(5)
    assert u(c_noise).shape == (5,)
    assert torch.equal(u(c_noise)[2:3], u(c_noise[2:3]))
    u(c_noise).sum().backward()
    assert u.out.weight.grad.any()
    again = Uncertainty(**u.config)
    again.load_state_dict(u.state_dict())
    assert torch.equal(again(c_noise), u(c_noise))
    with torch.no_grad():
        u.out.weight.mul_(5)
    u.normalise_weights()
    assert rms(u.out.weight) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="width is 0"):
        Uncertainty(width=0)
