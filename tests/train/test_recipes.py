# SPDX-License-Identifier: Apache-2.0
"""What papers state beside their cells, and what goes over it."""

import pytest

pytest.importorskip("pydantic")

from pydiffcore.train import recipes
from pydiffcore.train.average import Fixed, HalfLife, Power
from pydiffcore.train.config import Config, configured
from pydiffcore.train.presets import PRESETS

PAPER = ["recipe=paper"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_its_papers_recipe(preset):
    config = configured(preset=preset, overrides=PAPER)
    plain = configured(preset=preset)
    assert config.optimiser != plain.optimiser
    assert config.run.images > 100 * plain.run.images
    assert config.cell == plain.cell == PRESETS[preset]
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert plain.optimiser == type(plain.optimiser)()
    assert set(recipes.RECIPES) == set(PRESETS)


def test_figures_of_the_papers():
    ddpm, edm, edm2 = (configured(preset=p, overrides=PAPER) for p in ("ddpm", "edm", "edm2"))
    assert (ddpm.optimiser.rate.peak, ddpm.kinds, ddpm.steps) == (2e-4, {"ema": Fixed()}, 800_000)
    assert (edm.optimiser.batch, edm.data.augment) == (512, 0.12)
    assert edm.optimiser.rate.warmup * 512 == pytest.approx(1e7, rel=1e-4)
    assert edm2.optimiser.rate.kind == "inverse_sqrt"
    assert (edm.data.label_dropout, edm2.data.label_dropout) == (0.0, 0.0)
    assert (ddpm.network.options["dropout"], ddpm.optimiser.clip) == (0.1, 1.0)
    ve, vp = (configured(preset=p, overrides=PAPER) for p in ("ncsnpp-ve", "ddpmpp-vp"))
    assert ve.steps == vp.steps == 1_300_000
    assert ve.optimiser.eps / vp.optimiser.eps == ve.optimiser.clip / vp.optimiser.clip == 2 / 3072
    assert edm2.kinds == {"wide": Power(0.1), "narrow": Power(0.05)}


def test_what_is_given_goes_over_a_recipe():
    given = ["optimiser.rate.peak=1e-5", "run.images=1000", "network.name=unet", *PAPER]
    config = configured(preset="edm", overrides=[*given, "averages={a={kind='fixed'}}"])
    assert (config.optimiser.rate.peak, config.optimiser.rate.warmup) == (1e-5, 19531)
    assert (config.run.images, config.data.augment) == (1000, 0.0)
    other = configured(preset="iddpm", overrides=["network.name=mlp", *PAPER])
    assert "dropout" not in other.network.options
    given = configured(preset="iddpm", overrides=["network.options={width=64}", *PAPER])
    assert given.network.options == {"width": 64, "dropout": 0.3}
    same = configured(preset="ddpm", overrides=["network.name=ddpmpp", *PAPER])
    assert (same.network.options, same.data.mirror) == ({"dropout": 0.1}, True)
    assert config.kinds == {"a": Fixed()}


def test_a_field_of_the_default_average_keeps_its_kind():
    config = configured(overrides=["averages.ema.images=5000"])
    assert config.kinds == {"ema": HalfLife(5000)}
    assert configured(overrides=["averages.ema.kind=fixed"]).kinds == {"ema": Fixed()}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("averages.ema.halflife=5", "averages.ema.halflife is no .* 'half_life': it has images, r"),
        ("averages.ema.image=5", "averages.ema.image is no .*did you mean images[?]"),
        ("averages.other.images=5", "averages.other.kind is None, expected one of"),
        ("averages.ema=5", "averages.ema is 5: expected a table"),
        ("recipe=none", "recipe is 'none'.*'plain' or 'paper'"),
    ],
)
def test_what_no_average_has_is_named(override, words):
    with pytest.raises(ValueError, match=words):
        configured(overrides=[override])


def test_a_field_of_one_average_leaves_the_others():
    config = configured(preset="edm2", overrides=["averages.wide.width=0.15", *PAPER])
    assert config.kinds == {"wide": Power(0.15), "narrow": Power(0.05)}
    alone = configured(preset="edm2", overrides=["averages={wide={kind='fixed'}}", *PAPER])
    assert alone.kinds == {"wide": Fixed()}


def test_a_preset_that_is_no_name_is_refused_by_its_field():
    with pytest.raises(ValueError, match="preset"):
        configured(recipe="paper", preset=["a"])
