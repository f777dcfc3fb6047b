# SPDX-License-Identifier: Apache-2.0
"""What holds for every network."""

import json

import pytest
import torch
from networks.cases import CASES, LABELLED, STARTS_AS_ZERO, alive, build, inputs

from pydiffcore.networks import NETWORKS, UNet

every = pytest.mark.parametrize("name", CASES)
labelled = pytest.mark.parametrize("name", LABELLED)


def steps(network, count):
    """Take steps with an optimiser that would fit noise."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    arguments = inputs(network, 6)
    for _ in range(count):
        optimiser.step()
        optimiser.zero_grad()
        F = network(*arguments)
        target = torch.randn(F.shape, generator=torch.Generator().manual_seed(3))
        (F - target).square().mean().backward()


def test_every_name_is_a_network_that_has_a_case():
    assert {kind for kind, _ in CASES.values()} | {"unet"} == set(NETWORKS)
    assert NETWORKS["unet"] is UNet


@every
@pytest.mark.parametrize("size", [1, 3])
def test_output_is_like_the_input(name, size):
    network = alive(name)
    x, *rest = inputs(network, size)
    F = network(x, *rest)
    twice = 2 if network.config.get("learned_variance") else 1
    assert F.shape == (size, twice * x.shape[1], *x.shape[2:])
    assert F.dtype == x.dtype
    assert F.std() > 1e-3


@pytest.mark.parametrize("name", [n for n in CASES if "mlp" not in n and "unet1d" not in n])
def test_other_sizes_of_images(name):
    network = alive(name)
    x = torch.randn(2, 3, 16, 24)
    assert network(x, torch.zeros(2)).shape[2:] == x.shape[2:]


@pytest.mark.parametrize("name", STARTS_AS_ZERO)
def test_starts_as_zero(name):
    network = build(name)
    assert torch.count_nonzero(network(*inputs(network))) == 0


@every
def test_each_sample_is_a_function_of_its_own_inputs(name):
    network = alive(name)
    arguments = inputs(network)
    together = network(*arguments)
    for i in range(len(together)):
        alone = network(*(a[i : i + 1] for a in arguments))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in CASES if "v2" not in n])
def test_every_input_matters(name):
    network = alive(name)
    arguments = list(inputs(network))
    F = network(*arguments)
    for i, value in enumerate(arguments):
        others = list(arguments)
        others[i] = value.roll(1, 0)
        assert (F - network(*others)).flatten(1).norm(dim=1).min() > 1e-4, i


@labelled
def test_no_class_is_the_label_behind_the_last(name):
    network = alive(name)
    x, c_noise, labels = inputs(network)
    none = torch.full_like(labels, network.config["classes"])
    assert torch.equal(network(x, c_noise), network(x, c_noise, none))
    assert not torch.allclose(network(x, c_noise), network(x, c_noise, labels))


@pytest.mark.parametrize("name", [n for n in LABELLED if n != "dit"])
def test_no_class_adds_nothing_and_stays_so(name):
    network = build(name)
    steps(network, 3)
    none = torch.tensor([network.config["classes"]])
    tables = [each for each in network.modules() if getattr(each, "padding_idx", None) is not None]
    assert tables or "edm2" in name  # whose table has no such row
    for table in tables:
        assert torch.count_nonzero(table(none)) == 0


@every
def test_every_parameter_gets_a_gradient(name):
    network = build(name)
    steps(network, 4)  # what is behind two layers of zeros gets one only then
    dead = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


@every
def test_calls_agree_and_change_nothing(name):
    network = alive(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    arguments = inputs(network)
    copies = [a.clone() for a in arguments]
    assert torch.equal(network(*arguments), network(*arguments))
    assert all(torch.equal(a, b) for a, b in zip(arguments, copies, strict=True))
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


@every
def test_config_builds_the_network_again(name):
    network = alive(name)
    config = json.loads(json.dumps(network.config))
    again = NETWORKS[CASES[name][0]](**config).eval()
    assert again.config == network.config
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(*inputs(network)), network(*inputs(network)))


@every
def test_checkpointing_gives_the_same_gradients(name):
    dropout = {"dropout": 0.3} if "dropout" in build(name).config else {}
    gradients = []
    for checkpointing in (False, True):
        network = alive(name, checkpointing=checkpointing, **dropout).train()
        torch.manual_seed(4)
        network(*inputs(network)).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for plain, saved in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, saved)


@every
def test_layouts_agree(name):
    network = alive(name)
    x, *rest = inputs(network)
    F = network(x, *rest)
    spread = torch.empty(*x.shape[:-1], 2 * x.shape[-1])[..., ::2].copy_(x)
    torch.testing.assert_close(network(spread, *rest), F, rtol=1e-4, atol=1e-5)
    if x.ndim == 4:
        network = network.to(memory_format=torch.channels_last)
        last = x.to(memory_format=torch.channels_last)
        torch.testing.assert_close(network(last, *rest), F, rtol=1e-3, atol=1e-4)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(name, dtype):
    network = alive(name)
    x, *rest = inputs(network)
    F = network(x, *rest)
    network = network.to(dtype)
    fixed = {b.dtype for n, b in network.named_buffers() if "frequencies" in n or "phases" in n}
    assert fixed <= {torch.float32}
    low = network(x.to(dtype), *rest)
    assert low.dtype == dtype
    assert network(x, *rest).dtype == x.dtype
    assert (low.float() - F).norm() < {torch.bfloat16: 0.1, torch.float16: 0.02}.get(
        dtype, 1e-3
    ) * F.norm()


@every
def test_autocast(name):
    network = alive(name)
    arguments = inputs(network)
    F = network(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(*arguments)
    assert low.dtype == torch.float32
    assert (low - F).norm() < 0.1 * F.norm()


@every
def test_wrong_inputs_are_named(name):
    network = alive(name)
    x, c_noise, *rest = inputs(network)
    with pytest.raises(ValueError, match="x has shape"):
        network(x[..., :-1], c_noise, *rest)
    with pytest.raises(ValueError, match="x has shape"):
        network(x.flatten(), c_noise, *rest)
    for wrong in (c_noise[:1], c_noise[0], c_noise[:, None]):
        with pytest.raises(ValueError, match="c_noise has shape"):
            network(x, wrong, *rest)


@every
def test_wrong_labels_are_named(name):
    network = alive(name)
    if "unet1d" in name:
        return
    x, c_noise, *_ = inputs(network)
    classes = network.config.get("classes", 0)
    if not classes:
        with pytest.raises(ValueError, match="class_labels are given"):
            network(x, c_noise, torch.zeros(len(x), dtype=torch.int64))
        return
    for wrong in (
        torch.zeros(len(x) + 1, dtype=torch.int64), torch.zeros(len(x)),
        torch.full((len(x),), classes + 1), torch.full((len(x),), -1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"class_labels (has|is)"):
            network(x, c_noise, wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("adm", {"channels": 0}), ("adm", {"classes": -1}), ("adm", {"size": 60}),
        ("adm", {"attention": (5,)}), ("adm", {"head_channels": 100}), ("adm", {"blocks": 0}),
        ("ddpmpp", {"width": 0}), ("ddpmpp", {"embedding": "random"}),
        ("ddpmpp", {"progressive_input": "sum"}), ("ncsnpp", {"progressive_output": "sum"}),
        ("edm2", {"head_channels": 0}), ("edm2", {"width": 0}), ("edm2", {"size": 12}),
        ("dit", {"width": 30}), ("dit", {"patch": 0}), ("dit", {"heads": 7}),
        ("refinenet", {"levels": -1}), ("refinenet", {"width": 1}),
        ("mlp", {"depth": 0}), ("mlp", {"features": 0}), ("mlp", {"width": 1}),
        ("unet1d", {"widths": (12,)}), ("unet1d", {"kernel": 4}), ("unet1d", {"embedding": 7}),
        ("unet1d", {"observations": -1}),
    ],
)  # fmt: skip
def test_wrong_sizes_are_named(kind, wrong):
    with torch.device("meta"), pytest.raises(ValueError, match=next(iter(wrong))):
        NETWORKS[kind](**wrong)


@pytest.mark.slow
@every
@pytest.mark.parametrize("checkpointing", [False, True])
def test_is_one_graph(name, checkpointing):
    torch._dynamo.reset()
    network = alive(name, checkpointing=checkpointing)
    compared(network, torch.compile(network, fullgraph=True, backend="aot_eager"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on import of inductor
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"unet"}))
def test_compiles(name):
    torch._dynamo.reset()
    network = alive(name)
    compared(network, torch.compile(network, fullgraph=True))


def compared(network, compiled):
    """Compare the outputs and gradients of a network and its compiled form."""
    results = []
    for each in (network, compiled):
        network.zero_grad()
        F = each(*inputs(network))
        F.square().sum().backward()
        results.append([F.detach(), *(p.grad.clone() for p in network.parameters())])
    # A bias before a norm has gradient 0 but for rounding, so the scale is that of all of them.
    scale = max(float(each.abs().max()) for each in results[0][1:])
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-2, atol=1e-4 * scale)
