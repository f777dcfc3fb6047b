# SPDX-License-Identifier: Apache-2.0
"""diffusers' pipelines with our scheduler in the place of theirs: pixels within 1e-4 of the range.

Weights are tiny and random; ``pipe.scheduler = ours.X.from_config(pipe.scheduler.config)`` is all
that differs.
"""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import pydiffcore.adapters.diffusers as ours

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
sys.path.insert(0, str(Path(__file__).parent))
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # what diffusers and transformers warn of
    pytest.mark.usefixtures("one_thread"),
]

BAR = 1e-4  # pixels are in [0, 1]
STABLE = [
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
]


@pytest.fixture(scope="module")
def made():
    """The module of tiny pipelines, imported where transformers is there."""
    import pipelines

    return pipelines


@pytest.fixture(scope="module")
def stable(made):
    return made.stable()


@pytest.fixture(scope="module")
def flux(made):
    return made.flux()


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def images(pipe, **call):
    """Two images of 16×16 by eight steps, each with its own generator."""
    call = {"num_inference_steps": 8, "output_type": "np", "generator": generators(3, 4)} | call
    return pipe(**call).images


def both(pipe, name, run):
    """Results of a run with diffusers' scheduler of a name, then with ours."""
    config, results = pipe.scheduler.config, []
    try:
        for library in (diffusers, ours):
            pipe.scheduler = getattr(library, name).from_config(config)
            assert (type(pipe.scheduler).__module__ == ours.__name__) == (library is ours)
            results.append(run())
    finally:
        pipe.scheduler = getattr(diffusers, type(pipe.scheduler).__name__).from_config(config)
    return results


def close(found, expected, bar):
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert np.isfinite(expected).all()
    assert np.abs(found - expected).max() <= bar


def same(results):
    theirs, mine = results
    assert theirs.std() > 0.01, "the images are of one colour and show nothing"
    close(mine, theirs, BAR)


@pytest.mark.parametrize("wrong", [0, 1, (0, 1)])
def test_images_of_nan_are_not_close(wrong):
    results = np.random.default_rng(0).random((2, 1, 4, 4, 3)).repeat(2, axis=1)
    results[1] = results[0]
    same(results)
    results[wrong, 0, 1, 1] = np.nan
    with pytest.raises(AssertionError):
        close(*results, BAR)
    with pytest.raises(AssertionError):
        same(results)


def sized(made):
    return {"prompt": made.PROMPTS, "height": made.SIZE, "width": made.SIZE}


def picture(made):
    g = torch.Generator().manual_seed(9)
    return torch.rand(2, 3, made.SIZE, made.SIZE, generator=g)


# ------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("seeds", [None, (5, 6)])
@pytest.mark.parametrize(
    ("pipeline", "name", "call"),
    [
        ("DDPMPipeline", "DDPMScheduler", {}),
        ("DDIMPipeline", "DDIMScheduler", {}),
        ("DDIMPipeline", "DDIMScheduler", {"eta": 0.7, "use_clipped_model_output": True}),
        ("ConsistencyModelPipeline", "CMStochasticIterativeScheduler", {}),
    ],
)
def test_unconditional(made, pipeline, name, call, seeds):
    pipe = made.pixels(pipeline, getattr(diffusers, name)())

    def run():
        generator = torch.Generator().manual_seed(2) if seeds is None else generators(*seeds)
        return images(pipe, batch_size=2, generator=generator, **call)

    same(both(pipe, name, run))


@pytest.mark.parametrize("name", STABLE)
def test_text_to_image(made, stable, name):
    same(both(stable, name, lambda: images(stable, **sized(made))))


@pytest.mark.parametrize("strength", [0.3, 0.8])
@pytest.mark.parametrize("name", STABLE)
def test_image_to_image(made, stable, name, strength):
    pipe = made.quiet(diffusers.StableDiffusionImg2ImgPipeline(**stable.components, **UNCHECKED))
    start = {"prompt": made.PROMPTS, "image": picture(made), "strength": strength}
    same(both(pipe, name, lambda: images(pipe, **start)))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("name", STABLE)
def test_inpainting(made, stable, name, strength):
    pipe = made.quiet(diffusers.StableDiffusionInpaintPipeline(**stable.components, **UNCHECKED))
    mask = torch.zeros(2, 1, made.SIZE, made.SIZE)
    mask[..., made.SIZE // 2 :] = 1.0
    start = {**sized(made), "image": picture(made), "mask_image": mask, "strength": strength}
    same(both(pipe, name, lambda: images(pipe, **start)))


UNCHECKED = {"requires_safety_checker": False}


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler"])
def test_flux(made, flux, name):
    size = {"height": made.SIZE, "width": made.SIZE}
    same(both(flux, name, lambda: images(flux, **made.embeddings(), **size)))


@pytest.mark.parametrize("strength", [0.4, 0.9])
def test_flux_image_to_image(made, flux, strength):
    pipe = made.quiet(diffusers.FluxImg2ImgPipeline(**parts(flux)))
    size = {"height": made.SIZE, "width": made.SIZE}
    start = {**made.embeddings(), **size, "image": picture(made), "strength": strength}
    same(both(pipe, "FlowMatchEulerDiscreteScheduler", lambda: images(pipe, **start)))


def parts(pipe):
    return {
        k: v for k, v in pipe.components.items() if k not in ("image_encoder", "feature_extractor")
    }


# ------------------------------------------------------------------- interrupted, repeated, saved


@pytest.mark.parametrize("name", STABLE)
def test_interrupted_and_repeated(made, stable, name):
    def stop(pipe, i, t, values):
        pipe._interrupt = i >= 2
        return values

    def run():
        part = images(stable, **sized(made), callback_on_step_end=stop)
        return np.concatenate([part, *(images(stable, **sized(made)) for _ in range(2))])

    theirs, mine = both(stable, name, run)
    same((theirs, mine))
    assert np.abs(mine[:2] - mine[2:4]).max() > 0.01, "the first run was not interrupted"
    np.testing.assert_array_equal(mine[2:4], mine[4:])


@pytest.mark.parametrize("name", STABLE)
def test_edited_states(made, stable, name):
    def edit(pipe, i, t, values):
        return {"latents": values["latents"] * 0.8} if i == 3 else values

    same(both(stable, name, lambda: images(stable, **sized(made), callback_on_step_end=edit)))


@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_a_saved_pipeline_loads_on_either_side(made, stable, name, tmp_path):
    stable.scheduler = getattr(ours, name).from_config(stable.scheduler.config)
    stable.save_pretrained(tmp_path)
    quiet = {"safety_checker": None, **UNCHECKED}
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, **quiet)
    assert type(theirs.scheduler) is getattr(diffusers, name)
    scheduler = getattr(ours, name).from_pretrained(tmp_path, subfolder="scheduler")
    mine = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, scheduler=scheduler, **quiet)
    assert mine.scheduler is scheduler
    assert theirs.scheduler.config == mine.scheduler.config
    same([images(made.quiet(pipe), **sized(made)) for pipe in (theirs, mine)])


# --------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"])
def test_eight_threads(made, stable, name, shared):
    """One scheduler's configuration, or one scheduler, and 8 threads: the serial results."""
    words = stable.encode_prompt(made.PROMPTS, "cpu", 1, True)
    known = dict(zip(("prompt_embeds", "negative_prompt_embeds"), words, strict=True))
    one = getattr(ours, name).from_config(stable.scheduler.config)

    def run(i):
        scheduler = one if shared else type(one).from_config(one.config)
        components = {**stable.components, "scheduler": scheduler}
        pipe = made.quiet(diffusers.StableDiffusionPipeline(**components, **UNCHECKED))
        size = {"height": made.SIZE, "width": made.SIZE, "num_inference_steps": 5 + i}
        return images(pipe, **known, **size, generator=generators(i, i + 1))

    serial, found = [run(i) for i in range(8)], {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: run(i)})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, expected in enumerate(serial):
        close(found[i], expected, 1e-6)  # the network's rounding
