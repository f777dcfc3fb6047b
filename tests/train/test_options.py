# SPDX-License-Identifier: Apache-2.0
"""Options of the loss and tables of betas that a file can name."""

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("pydantic")

from trainings import tiny

from pydiffcore import process
from pydiffcore.data import Batch
from pydiffcore.train.config import configured
from pydiffcore.train.loss import denoising_terms
from pydiffcore.train.trainer import Trainer

SHAPE = (1, 8, 8)
RESCALED = """process={name="discrete", betas={name="rescale_zero_terminal_snr",
    betas={name="linear_betas", n=50}}}""".replace("\n", "")
ZERO_SNR = [RESCALED, "prediction={name='v'}", "law={name='discrete_uniform'}",
            "weight={name='snr_plus_one'}"]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _tiny(one_thread):
    """Everything here is tiny."""


def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, *SHAPE), generator=generator, dtype=torch.uint8)
    return Batch(images, None, range(12), 12)


@pytest.mark.parametrize("option", [{"huber": 0.03}, {"scales": 4.0}, {"huber": 0.1, "scales": 2}])
def test_options_of_the_loss_reach_it(option):
    trainer, plain = Trainer(tiny(**option), SHAPE, 0), Trainer(tiny(), SHAPE, 0)
    cell, seeds = trainer.cell, range(12)
    levels = trainer.losses(batch(), 0, 12), plain.losses(batch(), 0, 12)
    sigma = cell.law.sample(np.arange(12, dtype=np.uint64))
    expected = denoising_terms(
        trainer.network, batch().images, sigma, cell.prediction, seeds=seeds, weight=cell.weight,
        **option,
    )  # fmt: skip
    torch.testing.assert_close(levels[0], expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(*levels, rtol=1e-2)
    assert np.isfinite(trainer.advance(batch()).loss)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["huber=0"], "huber is 0"),
        (["scales=0.5"], r"scales is 0\.5"),
        (["preset=edm2", "huber=0.1"], "huber is 0.1, but loss is 'uncertainty'"),
        (["preset=iddpm", "scales=2"], "but loss is 'hybrid'; expected 'denoising'"),
        (["network.name=mlp", "scales=2"], "scales is 2.0, but mlp takes vectors"),
        (
            ["process={name='discrete', betas={name='rescale', betas={name='linear_betas'}}}",
             *ZERO_SNR[1:]],
            "process.betas.name is 'rescale', expected one of .*rescale_zero_terminal_snr",
        ),
    ],
)  # fmt: skip
def test_refusals(overrides, words):
    with pytest.raises(ValueError, match=words):
        configured(overrides=overrides)


def test_a_table_without_signal_at_its_end_is_trained_on():
    given = dict(each.split("=", 1) for each in ZERO_SNR)
    trainer = Trainer(tiny(**given), SHAPE, 0)
    table = process.discrete(process.rescale_zero_terminal_snr(process.linear_betas(50)))
    assert trainer.cell.process.name == table.name
    assert trainer.cell.law.levels.max() > 1e6
    for _ in range(3):
        report = trainer.advance(batch())
        assert np.isfinite(report.loss)
        assert not report.skipped
