# SPDX-License-Identifier: Apache-2.0
"""``pydiffcore plan`` traces what the arguments say."""

import argparse
import json

import numpy as np
import pytest

import pydiffcore
from pydiffcore import levels, prediction, process, samplers
from pydiffcore.cli import names
from pydiffcore.cli.plan import add_choices, numbers, pair, traced


def plan_of(*arguments):
    parser = argparse.ArgumentParser()
    add_choices(parser)
    return traced(parser.parse_args(arguments))


def test_default():
    assert plan_of() == pydiffcore.trace(samplers.heun, levels.karras(18))


def test_all_choices():
    vp = process.vp(beta_max=12.0)
    found = plan_of(
        "--sampler", "ddim:eta=0.5", "--levels", "karras:rho=5", "--steps", "7",
        "--sigma-min", "0.1", "--sigma-max", "20", "--process", "vp:beta_max=12",
        "--prediction", "eps", "--clip=-1,1", "--scaling",
    )  # fmt: skip
    expected = pydiffcore.trace(
        samplers.ddim, levels.karras(7, 0.1, 20.0, 5.0, vp), prediction.eps(vp),
        clip=(-1.0, 1.0), scaling=vp, eta=0.5,
    )  # fmt: skip
    assert found == expected


def test_names_of_others():
    assert plan_of("--sampler", "euler_a") == plan_of("--sampler", "ancestral")
    assert plan_of("--sampler", "uni-pc:order=2").sampler.startswith("unipc(order=2")
    for name, own in names.PROCESS_ALIASES.items():
        assert plan_of("--process", name) == plan_of("--process", own)


def test_sampler_options():
    found = plan_of("--option", "churn=20", "--option", "s_noise=1.003", "--steps", "4")
    assert found == pydiffcore.trace(samplers.heun, levels.karras(4), churn=20.0, s_noise=1.003)


def test_tableaux_are_named():
    """A table of a Runge-Kutta method has a name here, as everything else that is chosen."""
    for name, sampler, tables, key in (
        ("runge-kutta", samplers.runge_kutta, samplers.TABLEAUX, "ralston4"),
        ("implicit-rk", samplers.implicit_rk, samplers.IMPLICIT, "radau_iia2"),
        ("exponential-rk", samplers.exponential_rk, samplers.EXPONENTIAL, "krogstad"),
    ):
        found = plan_of("--sampler", f"{name}:tableau={key}", "--steps", "4")
        expected = pydiffcore.trace(sampler, levels.karras(4), tableau=tables[key])
        assert np.array_equal(found.A, expected.A)
        assert np.array_equal(found.sigma, expected.sigma)
        assert f"{sampler.__name__}(tableau='{key}')" in found.sampler


def test_given_levels():
    found = plan_of("--sampler", "euler", "--sigmas", "80,10,1,0")
    assert found == pydiffcore.trace(samplers.euler, levels.explicit([80, 10, 1, 0]))


def test_default_levels_stay_within_a_table():
    table = process.discrete(process.scaled_linear_betas())
    low, high = (float(table.level(t)) for t in (0, 999))
    for rule, sampler in (("karras", levels.karras), ("exponential", levels.exponential)):
        found = plan_of(
            "--prediction", "eps", "--process", "latent", "--sampler", "euler", "--steps", "4",
            "--levels", rule,
        )  # fmt: skip
        assert found.sigma[[0, -1]] == pytest.approx([high, low], rel=1e-12)
        assert found.c_noise[[0, -1]] == pytest.approx([999.0, 0.0], abs=1e-9)
        expected = sampler(4, low, high, process=table)
        assert found == pydiffcore.trace(samplers.euler, expected, prediction.eps(table))
    given = plan_of("--process", "latent", "--sigma-max", "20", "--levels", "karras:sigma_min=0.01")
    assert given.sigma[0] == pytest.approx(20.0, rel=1e-12)
    assert min(given.sigma) == pytest.approx(0.01, rel=1e-12)
    wide = plan_of("--process", "iddpm", "--sampler", "euler")  # its table ends at 20291
    assert wide.sigma[0] == pytest.approx(80.0, rel=1e-12)


def test_range_of_a_rule_in_time():
    vp = process.vp()
    found = plan_of(
        "--sampler", "euler", "--levels", "uniform-t", "--process", "vp", "--sigma-max", "10",
        "--sigma-min", "0.1", "--steps", "5",
    )  # fmt: skip
    assert found.sigma[0] == pytest.approx(10.0, rel=1e-12)
    assert found.sigma[-1] == pytest.approx(0.1, rel=1e-12)
    low, high = float(vp.time(0.1)), float(vp.time(10.0))
    assert found == pydiffcore.trace(samplers.euler, levels.uniform_t(5, vp, low, high))


@pytest.mark.parametrize("sampler", names.SAMPLERS)
@pytest.mark.parametrize("process_name", ["vp", "ddpm"])
def test_every_sampler_on_every_kind_of_process(run, sampler, process_name):
    code, out, err = run(
        "plan", "--sampler", sampler, "--process", process_name, "--prediction", "v",
        "--steps", "3", "--sigma-max", "40", "--sigma-min", "0.1",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith(sampler.replace("-", "_"))


@pytest.mark.parametrize("rule", names.LEVELS)
def test_every_rule(run, rule):
    tabulated = "iddpm" if rule == "iddpm" else "ddpm"
    arguments = ("--process", tabulated, "--prediction", "eps", "--steps", "4")
    code, out, err = run("plan", "--sampler", "euler", "--levels", rule, *arguments)
    assert (code, err) == (0, "")
    assert "4 network calls" in out


def test_save_load_plot(run, tmp_path):
    saved, drawn = tmp_path / "plan.json", tmp_path / "plan.png"
    code, out, _ = run("plan", "--steps", "3", "--save", saved, "--plot", drawn)
    assert code == 0
    assert drawn.read_bytes()[:4] == b"\x89PNG"
    code, again, _ = run("plan", "--load", saved)
    assert code == 0
    assert out.startswith(again)
    assert f"saved {saved}" in out


def test_all_rows(run):
    short, whole = (run("plan", "--steps", "30", *more)[1] for more in ([], ["--all"]))
    assert "rows more" in short
    assert "rows more" not in whole
    assert whole.count("r0' =") == 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sampler", "foo"], "sampler is 'foo', expected one of ab-velocity"),
        (["--sample", "res_2m"], "'res_2m' (it is res_multistep(order=2) here), expected"),
        (["--sample", "DDIMScheduler"], "pydiffcore.adapters.diffusers.DDIMScheduler"),
        (["--sample", "uni_pc:foo=1"], "sampler unipc has no argument 'foo'"),
        (["--levels", "beta57"], "it is beta_timesteps(n, process, alpha=0.5, beta=0.7)"),
        (["--process", "zsnr"], "rescale_zero_terminal_snr(betas)"),
        (["--prediction", "v_prediction"], "it is v here"),
        (["--levels", "foo"], "levels is 'foo'"),
        (["--process", "foo"], "process is 'foo'"),
        (["--prediction", "foo"], "prediction is 'foo'"),
        (["--option", "churn"], "not of the form key=value"),
        (["--option", "churn=hot"], "churn is 'hot', expected a number"),
        (["--option", "spin=1"], "has no argument 'spin'; it takes: churn"),
        (["--steps", "0"], "n must be a positive whole number"),
        (["--sigmas", "1,2,0"], "strictly descending"),
        (["--sigmas", "1,nan,0"], "finite"),
        (["--sigmas", "one"], "--sigmas is 'one'"),
        (["--sigmas", "2,1", "--steps", "3"], "--steps has no meaning beside --sigmas"),
        (["--clip", "-1"], "two numbers"),
        (["--clip", "1,-1"], "clip is (1.0, -1.0)"),
        (["--levels", "trailing"], "tabulated"),
        (["--levels", "ve", "--rho", "3"], "has no argument 'rho'"),
        (["--sampler", "ddim:eta=3"], "eta is 3.0"),
    ],
)
def test_bad_input(refused, arguments, words):
    assert words in refused("plan", *arguments)


def test_a_saved_plan_cannot_be_changed(run, refused, tmp_path):
    path = tmp_path / "plan.json"
    run("plan", "--steps", "3", "--save", path)
    assert "--steps cannot change the saved plan" in refused("plan", "--load", path, "--steps", 4)


def test_altered_and_truncated_plans(run, refused, tmp_path):
    path = tmp_path / "plan.json"
    run("plan", "--steps", "3", "--save", path)
    text = path.read_text()
    path.write_text(text[:-20])
    assert "truncated" in refused("plan", "--load", path)
    content = json.loads(text)
    content["sigma"][0] *= 2
    path.write_text(json.dumps(content))
    assert "was altered" in refused("plan", "--load", path)


def test_numbers():
    assert numbers("--x", "80,1e-3,0") == (80.0, 1e-3, 0.0)
    assert pair("--x", "-1,1") == (-1.0, 1.0)
    with pytest.raises(ValueError, match="--x is '1,2,3', expected two numbers"):
        pair("--x", "1,2,3")
