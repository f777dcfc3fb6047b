# SPDX-License-Identifier: Apache-2.0
"""The memory of a training, told before it is needed."""

import pytest
import torch

pytest.importorskip("pydantic")

from trainings import tiny

from pydiffcore.data import Batch
from pydiffcore.train.config import configured
from pydiffcore.train.footprint import Footprint, activations, footprint
from pydiffcore.train.trainer import Trainer

WIDE = 64


@pytest.fixture(scope="module", autouse=True)
def _tiny(one_thread):
    """Everything here is tiny."""


def trained(*overrides, depth=3):
    sets = ["network.name=mlp", f"network.options={{width={WIDE}, depth={depth}}}"]
    sets += ["optimiser.batch=32", *overrides]
    return Trainer(configured(overrides=sets), (2,), 0)


def batch(size=32, shape=(2,)):
    return Batch(torch.randn(size, *shape), None, range(size), size)


def test_every_part_is_counted():
    trainer = trained('averages={a={kind="fixed"}, b={kind="fixed"}}')
    count = sum(p.numel() for p in trainer.network.parameters())
    rest = sum(b.numel() for b in trainer.network.buffers())
    held = footprint(trainer)
    assert held.weights == 4 * (count + rest)
    assert (held.gradients, held.moments) == (4 * count, 8 * count)
    assert held.averages == 2 * held.weights
    assert held.activations is None
    assert held.text().endswith(f"averages {held.averages / 2**20:.3g}")


def test_activations_grow_with_the_batch_and_the_depth():
    shallow, deep = (activations(trained(depth=depth), batch()) for depth in (2, 6))
    assert deep - shallow >= 4 * 32 * WIDE * 4  # at least one float32 row each of four layers
    assert deep - shallow < 4 * 32 * WIDE * 4 * 20
    trainer = trained("optimiser.accumulate=4")
    per = activations(trained(), batch()) / activations(trainer, batch())
    assert 3 < per < 5


@pytest.mark.parametrize("accumulate", [1, 4])
def test_two_samples_tell_of_the_whole_batch(accumulate):
    """The estimate is what the graph of a whole part keeps."""
    trainer = trained(f"optimiser.accumulate={accumulate}")
    sizes, size = {}, 32 // accumulate
    own = {p.untyped_storage().data_ptr() for p in trainer.network.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = trainer.losses(batch(), 0, size)
    assert activations(trainer, batch()) == pytest.approx(sum(sizes.values()), rel=0.02)
    assert losses.shape == (size,)


def test_recomputed_blocks_keep_less():
    shape = (1, 8, 8)
    kept = [
        activations(Trainer(tiny("edm", **{"network.options": options}), shape, 0),
                    batch(12, shape))
        for options in (
            "{width=16, multipliers=[1, 1], blocks=1, attention=[4]}",
            "{width=16, multipliers=[1, 1], blocks=1, attention=[4], checkpointing=true}",
        )
    ]  # fmt: skip
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.parametrize("preset", ["edm2", "iddpm"])
def test_every_loss_is_measured_and_no_step_is_changed_by_it(preset):
    trainers = [Trainer(tiny(preset), (1, 8, 8), 0) for _ in range(2)]
    numbers = batch(12, (1, 8, 8))
    assert footprint(trainers[0], numbers).activations > 0
    assert all(p.grad is None for p in trainers[0].network.parameters())
    first, second = (trainer.advance(numbers) for trainer in trainers)
    assert first.loss == second.loss
    assert first.norm == second.norm


def test_the_text_adds_up():
    held = Footprint(2**20, 2**21, 2**22, 2**20, 2**30)
    assert held.text() == (
        "1032 MiB: weights 1, gradients 2, moments 4, averages 1, activations 1.02e+03"
    )
