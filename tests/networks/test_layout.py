# SPDX-License-Identifier: Apache-2.0
import pytest

from pydiffcore.networks import layout


def attending(places):
    return sum(place.attends for place in places)


def test_table_7_of_edm_counts_the_same_attention():
    """Karras et al. 2022, table 7: DDPM++ 4 and 2, ADM 9 and 13 in encoder and decoder."""
    some = layout.attended_levels(32, 3, (16,))
    cifar = (128, (256, 256, 256), 4, some)
    assert attending(layout.encoder(*cifar)) == 4
    assert attending(layout.decoder(*cifar, every_block_attends=False)) == 2
    many = layout.attended_levels(64, 4, (32, 16, 8))
    imagenet = (192, (192, 384, 576, 768), 3, many)
    assert attending(layout.encoder(*imagenet)) == 9
    assert attending(layout.decoder(*imagenet)) == 13


@pytest.mark.parametrize("widths", [(8,), (8, 16), (16, 8, 24)])
@pytest.mark.parametrize("blocks", [1, 3])
def test_channels_and_resolutions_fit(widths, blocks):
    left, level, channels = [(0, 4)], 0, 4
    for place in layout.encoder(4, widths, blocks, ()):
        assert place.inputs == channels
        level, channels = level - place.resample, place.outputs
        assert place.level == level
        left.append((level, channels))
    for place in layout.decoder(4, widths, blocks, ()):
        assert place.inputs == channels
        level, channels = level - place.resample, place.outputs
        assert place.level == level
        if place.skip:
            assert left.pop() == (level, place.skip)
    assert not left
    assert (level, channels) == (0, widths[0])


def test_wrong_resolutions_are_named():
    with pytest.raises(ValueError, match="size is 36"):
        layout.attended_levels(36, 4, ())
    with pytest.raises(ValueError, match=r"attention has 12, the resolutions are \[32, 16, 8\]"):
        layout.attended_levels(32, 3, (16, 12))
