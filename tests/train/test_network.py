# SPDX-License-Identifier: Apache-2.0
"""The network that a training makes is told its level, whatever the preset's number is."""

import pytest
import torch

pytest.importorskip("pydantic", reason="configurations are pydantic's")

from pydiffcore.train.config import configured
from pydiffcore.train.network import network_of
from pydiffcore.train.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_the_digits_network_tells_levels_apart(name):
    """Numbers of the 10th to the 90th percentile differ the more the further they are apart."""
    if PRESETS[name].learned_variance:
        pytest.skip("unet learns no variance")
    config = configured(preset=name, network={"name": "unet", "options": {"width": 8}})
    network = network_of(config, (1, 8, 8), 10)
    cell = config.cell
    u = torch.linspace(0.1, 0.9, 17).double().numpy()
    c_noise = torch.from_numpy(cell.prediction.coefficients(cell.law.quantile(u))[3])
    phase = c_noise[:, None] * network.frequencies.double()[:2]  # the two lowest frequencies
    waves = torch.cat([phase.sin(), phase.cos()], 1)
    near = (waves[1:] - waves[:-1]).norm(dim=1)
    far = (waves[-1] - waves[0]).norm()
    assert near.min() > 1e-3
    assert far > 2 * near.max()


def test_a_given_scale_is_kept():
    config = configured(preset="ddpm", network={"name": "unet", "options": {"scale": 0.5}})
    assert network_of(config, (1, 8, 8), 10).config["scale"] == 0.5
    with pytest.raises(ValueError, match="scale is 0"):
        network_of(configured(network={"name": "unet", "options": {"scale": 0}}), (1, 8, 8), 10)


def test_levels_of_a_refinenet_are_the_indices_it_is_told():
    """Those of preset ncsn are logarithms, of which it knows none: no level, as in NCSNv2."""
    small = {"name": "refinenet", "options": {"width": 4, "levels": 21}}
    ncsn = {"name": "ncsn", "n": 21}
    with pytest.raises(ValueError, match=r"options.levels is 21, but prediction ve.* expected 0, "):
        network_of(configured(preset="ncsn", network=small), (1, 8, 8), 10)
    config = configured(preset="ncsn", prediction=ncsn, network=small)
    assert network_of(config, (1, 8, 8), 10).config["levels"] == 21
    small["options"]["levels"] = 20
    with pytest.raises(ValueError, match="numbers from 0 to 20"):
        network_of(configured(preset="ncsn", prediction=ncsn, network=small), (1, 8, 8), 10)
