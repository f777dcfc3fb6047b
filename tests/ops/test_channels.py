# SPDX-License-Identifier: Apache-2.0
"""Networks with their channels last: the bits of the contiguous run, and no copy made."""

import numpy as np
import pytest
import torch
from cuda_battery import DTYPES, STATES, runs, same
from torch.utils._python_dispatch import TorchDispatchMode

import pydiffcore
from pydiffcore import Guidance, levels, prediction, process, samplers
from pydiffcore.ops.program import bind
from pydiffcore.ops.runner import Runner

LAST, LAST_3D = torch.channels_last, torch.channels_last_3d
FORMATS = [torch.contiguous_format, LAST]
GRIDS = [(1, 1), (1, 32), (3, 7), (2, 256), (70, 5)]
SHAPE, SEEDS = (3, 6, 8), range(5)


def traced(sampler=samplers.dpmpp_2m_sde, n=5, **options):
    return pydiffcore.trace(sampler, levels.karras(n, 0.02), prediction.edm(), **options)


def network(x, c_noise, shift=0.1):
    """Channels and pixels that all do something else, the same bits in any memory format."""
    return (torch.tanh(x.float()) * 0.7 + 0.2 * x.float().flip(1) + shift).to(x.dtype)


def drawn(memory_format, *, model=network, plan=None, shape=SHAPE, **options):
    """Samples, once their network saw nothing but inputs of that format."""
    seen = []

    def watched(x, c_noise, **condition):
        seen.append(x.is_contiguous(memory_format=memory_format))
        return model(x, c_noise, **condition)

    guidance, condition = options.pop("guidance", None), options.pop("condition", {})
    out = pydiffcore.sample(
        pydiffcore.Denoiser(watched, prediction.edm(), condition, guidance),
        plan or traced(), shape=shape, seeds=SEEDS, memory_format=memory_format, **options,
    )  # fmt: skip
    assert seen
    assert all(seen)
    return out


def agree(**options):
    return torch.equal(*(drawn(memory_format, **options) for memory_format in FORMATS))


@pytest.mark.parametrize("C", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("state", STATES)
def test_bits_of_rows(C, io, state):
    rng = np.random.default_rng(C)
    for K, M in ((1, 0), (2, 1), (3, 2), (5, 1)):
        for clip in (None, (-0.5, 0.75)):
            for guided in (None, "row", "sample"):
                shape = (int(rng.integers(1, 5)), C * int(rng.integers(1, 50)))
                options = {"clip": clip, "guided": guided, "noise": bool(rng.integers(2))}
                options |= {"scale": bool(rng.integers(2)), "channels": C}
                grid = GRIDS[rng.integers(len(GRIDS))]
                assert same(runs(rng, shape, state, io, K, M, grid=grid, **options))


@pytest.mark.parametrize("pixels", [0, 1, 2, 3, 4, 5, 8, 63, 64, 65, 480, 511, 512, 513, 1030])
@pytest.mark.parametrize("C", [1, 2, 3, 5, 16, 64, 65, 130])
def test_sizes(C, pixels):
    rng = np.random.default_rng(pixels)
    for io in (torch.float32, torch.bfloat16):
        shape = (2, C * pixels)
        options = {"channels": C, "grid": (3, 256), "guided": "sample"}
        assert same(runs(rng, shape, torch.float32, io, 2, 1, **options))


@pytest.mark.parametrize("offset", [1, 2, {"F": 1}, {"input": 1}, {"state": 1}, {"noise": 1}])
@pytest.mark.parametrize("io", DTYPES)
def test_unaligned_memory(offset, io):
    rng = np.random.default_rng(0)
    options = {"grid": (2, 8), "offset": offset, "noise": True, "guided": "row", "channels": 4}
    for pixels in (15, 16):
        assert same(runs(rng, (3, 4 * pixels), torch.float32, io, 2, 2, **options))


@pytest.mark.parametrize("io", DTYPES)
@pytest.mark.parametrize("dtype", STATES)
def test_samples_are_the_bits_of_contiguous_ones(io, dtype):
    for shape in (SHAPE, (1, 5, 7), (5, 3, 3), (4, 1, 1), (3, 40, 40)):
        for backend in ("native", "reference"):
            assert agree(shape=shape, io_dtype=io, dtype=dtype, backend=backend)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_guidance_clipping_and_explicit_noise(backend):
    weight = torch.tensor([0.0, 1.0, 1.5, 3.0, -1.0])
    guided = {"guidance": Guidance(weight, {"shift": 0.3}), "condition": {"shift": 0.2}}
    plan = traced(clip=(-0.8, 0.8))
    noise = torch.randn(plan.draws, 5, *SHAPE, generator=torch.Generator().manual_seed(0))
    for options in (guided, {"noise": noise}, {"x": 80 * noise[0]}, {**guided, "noise": noise}):
        assert agree(plan=plan, backend=backend, **options)


def test_five_axes():
    options = {"shape": (3, 2, 5, 4), "backend": "native"}
    last, contiguous = drawn(LAST_3D, **options), drawn(torch.contiguous_format, **options)
    assert torch.equal(last, contiguous)


def test_an_input_that_would_be_the_state_is_a_tensor_of_its_own():
    """D(x, sigma) in the EDM frame is given register 0 where that is in its format."""
    plan = pydiffcore.trace(samplers.heun, levels.karras(5))
    formats = []

    def denoise(x, sigma):
        formats.append(x.is_contiguous(memory_format=LAST))
        return torch.tanh(x).mul_(0.9)

    out = [
        pydiffcore.sample(denoise, plan, shape=SHAPE, seeds=SEEDS, memory_format=memory_format)
        for memory_format in (LAST, torch.contiguous_format)
    ]
    assert torch.equal(*out)
    assert formats == [True] * plan.nfe + [False] * plan.nfe


def test_a_learned_variance():
    betas = process.discrete(process.linear_betas(20))
    plan = pydiffcore.trace(
        samplers.ddpm, levels.trailing(5, betas), prediction.eps(betas), variance="learned_range"
    )
    model = pydiffcore.Denoiser(
        lambda x, t: torch.cat([0.3 * x + 0.1 * x.flip(1), torch.tanh(x)], dim=1),
        prediction.eps(betas),
        learned_variance=True,
    )
    out = [
        pydiffcore.sample(model, plan, shape=SHAPE, seeds=SEEDS, memory_format=memory_format)
        for memory_format in FORMATS
    ]
    assert torch.equal(*out)


def test_gradients_flow():
    def slope(memory_format):
        scale = torch.tensor(0.9, requires_grad=True)
        out = drawn(memory_format, model=lambda x, c: scale * network(x, c), grad=True)
        return torch.autograd.grad(out.square().sum(), scale)[0]

    assert torch.allclose(slope(LAST), slope(torch.contiguous_format), rtol=1e-5)


@pytest.mark.parametrize("contiguous", [False, True])
def test_outputs_of_any_strides(contiguous):
    """The input itself, an output in C order, and one that is in no dense order."""
    wide = torch.empty(5, *SHAPE[:2], 16)
    wide[..., ::2] = torch.randn(5, *SHAPE)
    plan, results = traced(n=1), []
    for memory_format in FORMATS:
        runner = Runner(plan, SHAPE, SEEDS, memory_format=memory_format)
        own = runner.advance(runner.start()).clone()
        runner.start()
        output = wide[..., ::2].contiguous() if contiguous else wide[..., ::2]
        results.append((own, runner.advance(output).clone()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


class Operations(TorchDispatchMode):
    """Collects every operation that torch carries out."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))

    def __enter__(self):
        self.seen = []
        return super().__enter__()


@pytest.mark.parametrize("io", DTYPES)
def test_an_output_in_that_format_is_read_where_it_lies(io):
    runner = Runner(
        traced(), SHAPE, SEEDS, io_dtype=io, backend="native", memory_format=LAST,
        guidance=np.full(traced().nfe, 2.0),
    )  # fmt: skip
    F, u = (torch.randn(5, *SHAPE).to(io).contiguous(memory_format=LAST) for _ in range(2))
    other, x = F.contiguous(), runner.start()
    place, given, launch = x.data_ptr(), [], runner._advance
    runner._advance = lambda row, *pointers: given.append(pointers) or launch(row, *pointers)
    with Operations() as operations:
        x = runner.advance(F)
        runner.advance(F, u)
        assert operations.seen == []
        runner.advance(other)
        assert operations.seen == ["aten.clone.default"]
    assert [pointers[:2] for pointers in given[:2]] == [
        (F.data_ptr(), 0),
        (F.data_ptr(), u.data_ptr()),
    ]
    assert x.data_ptr() == place
    assert x.is_contiguous(memory_format=LAST)


def test_a_convolutional_network_in_that_format():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.SiLU()]
    body = torch.nn.Sequential(*layers, torch.nn.Conv2d(8, 3, 3, padding=1)).eval()
    formats = []

    def model(x, c_noise):
        F = body(x)
        formats.append(F.is_contiguous(memory_format=LAST))
        return F

    with torch.no_grad():
        expected = drawn(torch.contiguous_format, model=model)
        body.to(memory_format=LAST)
        formats.clear()
        assert torch.allclose(drawn(LAST, model=model), expected, rtol=1e-4, atol=1e-5)
        assert all(formats)


def test_a_captured_loop():
    model, plan = pydiffcore.Denoiser(network, prediction.edm()), traced()
    draw = pydiffcore.capture(model, plan, SHAPE, memory_format=LAST)
    for seeds in (SEEDS, range(7, 12)):
        eager = pydiffcore.sample(model, plan, shape=SHAPE, seeds=seeds)
        assert torch.equal(draw(seeds), eager)


def test_a_value_that_is_not_finite_is_named():
    def model(x, c_noise):
        out = network(x, c_noise)
        out[2, 1, 3, 4] = torch.nan
        return out

    with pytest.raises(FloatingPointError, match=r"call 0 .* sample 2 of 5"):
        drawn(LAST, model=model)


@pytest.mark.parametrize(
    ("memory_format", "shape", "error", "words"),
    [
        (LAST, (6, 8), ValueError, "memory_format is torch.channels_last, which needs .* 4 axes"),
        (LAST, (3, 2, 6, 8), ValueError, "memory_format is torch.channels_last"),
        (LAST_3D, (3, 6, 8), ValueError, "memory_format is torch.channels_last_3d.* 5 axes"),
        (torch.preserve_format, (3, 6, 8), TypeError, "memory_format is torch.preserve_format"),
        (None, (3, 6, 8), TypeError, "memory_format is None"),
    ],
)
def test_what_does_not_fit_is_named(memory_format, shape, error, words):
    model, options = (
        pydiffcore.Denoiser(network, prediction.edm()),
        {"memory_format": memory_format},
    )
    with pytest.raises(error, match=words):
        Runner(traced(), shape, SEEDS, **options)
    with pytest.raises(error, match=words):
        pydiffcore.sample(model, traced(), shape=shape, seeds=SEEDS, **options)
    with pytest.raises(error, match=words):
        pydiffcore.capture(model, traced(), shape, **options)


@pytest.mark.parametrize("channels", [-1, 4])
def test_channels_that_do_not_divide_a_sample_are_refused(channels):
    state, input = torch.zeros(1, 2, 6), torch.zeros(2, 6)
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match=f"channels is {channels}"):
        bind(
            registers_in=[1], registers_out=[1], draws=[0], A=one[None], f=one, d=one,
            S=np.ones((1, 1, 0)), stream=np.ones((1, 0)), purpose=np.ones((1, 0)), c_skip=[1.0],
            c_out=[1.0], c_in=[1.0], clip=None, guidance=None, state=state, input=input,
            seeds=[1, 2], channels=channels,
        )  # fmt: skip
