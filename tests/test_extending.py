# SPDX-License-Identifier: Apache-2.0
"""The page docs/extending.md: its code runs in order, prints what it shows, and is right."""

import contextlib
import inspect
import io
import linecache
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import pydiffcore
from pydiffcore import levels, samplers

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def blocks():
    """The page's code blocks: line on the page, language, text."""
    text = PAGE.read_text()
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start(2)) + 1, match[1], match[2]


def run_page():
    """Execute the Python blocks in order; return their names, and pairs of (shown, printed)."""
    names, pairs, printed = {"__name__": "extending"}, [], ""
    for line, language, code in blocks():
        if language == "text":
            pairs.append((code, printed))
            continue
        where = f"<{PAGE.name}:{line}>"
        linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, where, "exec"), names)
        printed = out.getvalue()
    return names, pairs


@pytest.fixture(scope="module")
def page():
    return run_page()


def test_the_page_prints_what_it_shows(page):
    def rounded(text):
        """An error of rounding, and a hash of bits, are the machine's own."""
        text = re.sub(r"^(with a perfect denoiser: x0 error ≤ )\S+", r"\1…", text, flags=re.M)
        return re.sub(r"^hash [0-9a-f]{16}$", "hash …", text, flags=re.M)

    _, pairs = page
    assert len(pairs) == 2
    for shown, printed in pairs:
        assert rounded(shown) == rounded(printed)


def test_a_sampler_has_fewer_than_fifteen_lines(page):
    assert len(inspect.getsource(page[0]["ralston"]).splitlines()) < 15


def test_the_fused_run_is_the_direct_run(page):
    names, _ = page
    assert names["difference"] < 1e-10
    torch.testing.assert_close(names["fused"], names["direct"], rtol=1e-10, atol=1e-10)


def test_the_order_is_two(page):
    assert page[0]["order"] == pytest.approx(2, abs=0.15)


def test_its_error_is_below_heun_s(page):
    """Ralston's weights bound the local error lower than Heun's, on the page's own problem."""
    names, _ = page
    errors = {}
    for sampler in (names["ralston"], samplers.heun):
        lv = levels.exponential(161, sigma_min=0.05, sigma_max=10.0, final_zero=False)
        errors[sampler] = np.abs(sampler(names["start"], names["data"], lv, None) - names["truth"])
    ralston, heun = (error.max() for error in errors.values())
    assert ralston < heun


def test_a_refused_sampler_is_told_why_and_runs_unfused(page):
    names, _ = page
    assert "the attribute 'norm'" in names["refusal"]
    assert "pydiffcore.direct" in names["refusal"]
    assert torch.isfinite(names["unfused"]).all()


def test_the_process_is_consistent(page):
    process = page[0]["cosine"]
    t, h = np.linspace(0.05, 0.95, 19), 1e-6
    np.testing.assert_allclose(process.sigma(t) / process.alpha(t), process.level(t), rtol=1e-12)
    np.testing.assert_allclose(process.time(process.level(t)), t, rtol=1e-12)
    np.testing.assert_allclose(process.alpha_at(process.level(t)), process.alpha(t), rtol=1e-12)
    for curve, slope in (("alpha", "d_alpha"), ("level", "d_level")):
        f = getattr(process, curve)
        numeric = (f(t + h) - f(t - h)) / (2 * h)
        np.testing.assert_allclose(getattr(process, slope)(t), numeric, rtol=1e-7)
    squared = 2 * process.alpha(t) ** 2 * process.level(t) * process.d_level(t)
    np.testing.assert_allclose(process.diffusion(t) ** 2, squared, rtol=1e-12)


def test_the_process_and_its_levels_give_a_plan_that_samples_the_data(page):
    names, _ = page
    cosine, data = names["cosine"], names["data"]
    lv = names["even"](18)
    plan = pydiffcore.trace(names["ralston"], lv, pydiffcore.prediction.v(cosine), scaling=cosine)
    np.testing.assert_allclose(plan.scale[:-1:2], cosine.alpha_at(lv.sigma[:-1]), rtol=1e-12)

    def v(x, c_noise):
        t = c_noise.numpy()
        alpha, sigma = (torch.as_tensor(f(t))[:, None] for f in (cosine.alpha, cosine.sigma))
        D = data(x / alpha, (sigma / alpha)[:, 0])
        return (alpha * x - D) / sigma

    denoiser = pydiffcore.Denoiser(v, pydiffcore.prediction.v(cosine))
    out = pydiffcore.sample(denoiser, plan, **names["run"])
    expected = pydiffcore.direct(names["ralston"], data, lv, **names["run"])
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


def test_the_prediction_means_what_it_says(page):
    names, _ = page
    torch.testing.assert_close(names["corrected"], names["fused"], rtol=1e-9, atol=1e-9)


def test_guidance_moves_the_samples_by_its_weight(page):
    """The label shifts the data, and D is linear: guidance w shifts samples by w times the label.

    A run from σ = 80 keeps all of it but the share std/80, 2.5 % where the deviation is 2.
    """
    names, _ = page
    moved = names["guided_samples"] - names["fused"]
    expected = (1.5 * names["labels"])[:, None].expand(-1, 3)
    torch.testing.assert_close(moved, expected, rtol=0, atol=0.06)


def test_the_gradient_pulls_the_mean(page):
    names, _ = page
    before, after = (
        (names[run].mean(1) - 1).square().mean() for run in ("fused", "pulled_samples")
    )
    assert after < 0.8 * before


def test_what_is_known_stays_as_it_is(page):
    names, _ = page
    out, mask = names["inpainted_samples"], names["mask"]
    assert torch.equal(out[:, mask], names["known"].expand(100, 1))
    assert (out[:, ~mask].std(0) > 0.05).all()


def test_the_page_names_the_package_as_it_is():
    text = PAGE.read_text()
    paths = re.findall(r"`((?:pydiffcore|tests|samplers)/[\w/]+\.?\w*/?)`", text)
    assert paths
    for path in paths:
        root = PAGE.parents[1]
        assert (root / path).exists() or (root / "pydiffcore" / path).exists(), path
