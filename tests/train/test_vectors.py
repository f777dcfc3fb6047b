# SPDX-License-Identifier: Apache-2.0
"""Vectors and sequences train in every cell, as images do."""

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic")

import pydiffcore
from pydiffcore import levels, samplers
from pydiffcore.data import Batch
from pydiffcore.train.config import configured
from pydiffcore.train.model import load_model, save_trained
from pydiffcore.train.presets import PRESETS
from pydiffcore.train.trainer import Trainer

B = 24
SMALL = {"mlp": "{width=16, depth=1}", "unet1d": "{widths=[8, 8], embedding=8}"}


def config(preset, network="mlp", *more):
    return configured(preset=preset, overrides=[
        f"network.name={network}", f"network.options={SMALL[network]}", f"optimiser.batch={B}",
        "run.images=960", "optimiser.rate={peak=3e-3}", *more,
    ])  # fmt: skip


def trained(preset, shape, network="mlp", steps=40):
    trainer = Trainer(config(preset, network), shape, 0)
    generator = torch.Generator().manual_seed(0)
    reports = []
    for i in range(steps):
        x = torch.randn(B, *shape, generator=generator).clamp(-3, 3) / 3
        x[:, 0] = 0.5 * x[:, 0].sign()
        reports.append(trainer.advance(Batch(x, None, range(i * B, (i + 1) * B), (i + 1) * B)))
    return trainer, [report.loss for report in reports]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_learns_vectors(preset):
    trainer, losses = trained(preset, (3,))
    assert trainer.skipped == 0
    assert sum(losses[-8:]) < sum(losses[:8])


@pytest.mark.parametrize("preset", ["ddpm", "edm", "flow"])
def test_sequences_learn(preset):
    trainer, losses = trained(preset, (8, 2), "unet1d")
    assert trainer.network.config["actions"] == 2
    assert sum(losses[-8:]) < sum(losses[:8])


@pytest.mark.parametrize("preset", ["edm", "iddpm"])
def test_a_trained_one_is_sampled_from(preset, tmp_path):
    trainer, _ = trained(preset, (3,), steps=3)
    save_trained(tmp_path / "model", trainer)
    model = load_model(tmp_path / "model")
    cell = trainer.cell
    table = preset == "iddpm"
    made = levels.trailing(6, cell.process) if table else levels.karras(6)
    option = {"variance": "learned_range"} if table else {}
    plan = pydiffcore.trace(getattr(samplers, cell.sampler), made, model.prediction, **option)
    x = pydiffcore.sample(model.denoiser(), plan, shape=model.shape, seeds=range(5))
    assert x.shape == (5, 3)
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_neighbouring_levels_have_alike_features(preset):
    """Labels count to 999 and logarithms to 1: features of one bandwidth would fit one of them."""
    cell, network = PRESETS[preset], Trainer(config(preset), (3,), 0).network
    c_noise = cell.prediction.coefficients(cell.law.quantile(np.linspace(0.3, 0.7, 41)))[3]
    features = network.fourier(torch.from_numpy(c_noise))
    alike = torch.nn.functional.cosine_similarity(features[:-1], features[1:])
    apart = torch.nn.functional.cosine_similarity(features[:1], features[-1:])
    assert float(alike.min()) > 0.95
    assert float(apart) < 0.5
    given = Trainer(config(preset, "mlp", "network.options.bandwidth=2.0"), (3,), 0).network
    assert given.config["bandwidth"] == 2


@pytest.mark.parametrize(
    ("network", "shape", "match"),
    [
        ("mlp", (1, 8, 8), r"shape is \(1, 8, 8\), .*'mlp', which takes samples of \[D\]"),
        ("unet1d", (3,), r"'unet1d', which takes samples of \[T, A\]"),
    ],
)
def test_a_network_of_other_samples_is_named(network, shape, match):
    with pytest.raises(ValueError, match=match):
        Trainer(config("edm", network), shape, 0)
    with pytest.raises(ValueError, match=r"'ddpmpp', which takes samples of \[C, H, W\]"):
        Trainer(configured(preset="edm"), (3,), 0)


@pytest.mark.parametrize("network", ["mlp", "unet1d"])
def test_only_images_are_mirrored(network):
    with pytest.raises(ValueError, match=f"data.mirror is true, but {network} takes no images"):
        config("edm", network, "data.mirror=true")
