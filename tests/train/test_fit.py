# SPDX-License-Identifier: Apache-2.0
"""Networks fit any size of image where nobody gave their options, and keep what was given."""

import pytest
import torch

pytest.importorskip("pydantic")

from pydiffcore.train import fit
from pydiffcore.train.config import configured
from pydiffcore.train.network import fitted_to, network_of
from pydiffcore.train.presets import PRESETS

FOLDER = ["data.source=pictures"]
SIZES = [
    (1, 28, 28),
    (3, 20, 20),
    (3, 32, 32),
    (3, 64, 64),
    (3, 256, 256),
    (3, 25, 25),
    (3, 48, 64),
]


def made(config, shape, classes=0):
    with torch.device("meta"):
        return network_of(config, shape, classes)


def called(network, shape):
    with torch.device("meta"):
        return network(torch.empty(1, *shape), torch.empty(1))


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_images_of_every_size(preset, shape):
    config = configured(preset=preset, overrides=FOLDER)
    if config.network_name == "refinenet" and shape[-1] % 2:
        with pytest.raises(ValueError, match="expected multiples of 2"):
            made(config, shape)
        return
    outputs = called(made(config, shape), shape)
    assert outputs.shape[2:] == shape[1:]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_small_network_for_the_digits(preset):
    network = made(configured(preset=preset), (1, 8, 8), 10)
    assert sum(each.numel() for each in network.parameters()) < 2e6
    assert called(network, (1, 8, 8)).shape[2:] == (8, 8)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_papers_defaults_are_kept_where_they_fit(preset):
    own = {"ddpmpp": 32, "ncsnpp": 32, "adm": 64, "edm2": 64, "dit": 32, "refinenet": 32}
    config = configured(preset=preset, overrides=FOLDER)
    size = own[config.network_name]
    assert fitted_to(config, (3, size, size)) == {}


def test_what_is_given_of_a_small_network_is_kept():
    digits = {"digits": True}
    small = fit.fitted("ddpmpp", (1, 8, 8), {"multipliers": [2]}, **digits)
    assert small == {"width": 32, "blocks": 2, "attention": [8]}
    assert "width" not in fit.fitted("ddpmpp", (1, 8, 8), {"width": 64}, **digits)
    assert "width" not in fit.fitted("ddpmpp", (2, 8, 8), {}, **digits)  # of another source


def test_what_a_paper_has_for_another_size():
    assert fit.fitted("ddpmpp", (3, 64, 64), {}) == {"multipliers": [1, 2, 2, 2]}
    assert fit.fitted("adm", (3, 256, 256), {}) == {
        "width": 256, "multipliers": [1, 1, 2, 2, 4, 4], "blocks": 2, "dropout": 0.0
    }  # fmt: skip
    assert fit.fitted("ddpmpp", (1, 28, 28), {}) == {"attention": [14]}
    assert fit.fitted("ddpmpp", (1, 28, 28), {"attention": [7]}) == {}
    assert fit.fitted("adm", (1, 28, 28), {"multipliers": [1, 1]}) == {"attention": [28, 14]}


@pytest.mark.parametrize(
    ("preset", "options", "shape", "words"),
    [
        ("edm", "{attention=[16]}", (1, 28, 28), r"attention has 16, the resolutions are \[28, 14"),
        ("edm", "{multipliers=[1, 1, 1, 1]}", (1, 28, 28), "size is 28, expected a multiple of 8"),
        ("edm", "{multipliers=[1, 1]}", (1, 9, 8), "expected multiples of 2, or other"),
        ("edm", "{}", (3, 255, 255), "make --size 256` makes them, or network.options.multipliers"),
        ("edm", "{multipliers=[]}", (1, 8, 8), r"multipliers is \[\], expected at least one entry"),
        ("flow", "{patch=3}", (1, 8, 8), "with patch 3 cuts them: expected multiples of 3"),
        ("flow", "{}", (3, 251, 251), "no patch divides .* or network.options.patch"),
    ],
)
def test_what_does_not_fit_is_refused(preset, options, shape, words):
    config = configured(preset=preset, overrides=[*FOLDER, f"network.options={options}"])
    with pytest.raises(ValueError, match=words):
        made(config, shape)


def test_sequences_whose_length_cannot_be_halved_are_refused():
    config = configured(preset="ddpm", overrides=["network.name=unet1d"])
    with pytest.raises(ValueError, match=r"'unet1d' with widths .* expected multiples of 4"):
        made(config, (6, 2))
