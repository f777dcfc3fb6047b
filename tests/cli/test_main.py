# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: help, errors in one line, exit codes, names."""

import subprocess
import sys

import pytest

import pydiffcore
from pydiffcore import levels, prediction, process, samplers
from pydiffcore.cli import names
from pydiffcore.cli.main import joined, one_line
from pydiffcore.levels import edit, search

COMMANDS = ["quickstart", "doctor", "plan", "sample", "replay", "bench"]


def test_help_lists_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in COMMANDS:
        assert f"\n    {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: pydiffcore {command}")


def test_version(run):
    assert run("--version")[1] == f"pydiffcore {pydiffcore.__version__}\n"


def test_module_is_the_command():
    command = [sys.executable, "-m", "pydiffcore", "plan", "--steps", "-1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("pydiffcore: error: n must be a positive whole number")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND"]),
        (["dance"], ["dance", "plan"]),
        (["plan", "--steps", "many"], ["--steps", "many"]),
        (["plan", "--unknown"], ["--unknown"]),
        (["plan", "--load", "nowhere.json"], ["nowhere.json"]),
    ],
)
def test_bad_input_is_one_line(refused, arguments, words):
    line = refused(*arguments)
    for word in words:
        assert word in line


def test_traceback_on_request(run):
    with pytest.raises(ValueError, match="sampler is 'foo'"):
        run("--traceback", "plan", "--sampler", "foo")


def test_interrupt(run, place):
    code, _, err = run("sample", "--network", "mine:stopped", "--shape", "1,4,4")
    assert (code, err) == (130, "pydiffcore: interrupted\n")
    assert sorted(path.name for path in place.iterdir() if path.is_file()) == ["mine.py"]


def test_values_that_begin_with_a_minus_sign():
    assert joined(["--clip", "-1,1", "--all"]) == ["--clip=-1,1", "--all"]
    assert joined(["--clip=-1,1", "--all"]) == ["--clip=-1,1", "--all"]
    assert joined(["--steps", "-1"]) == ["--steps", "-1"]


def test_one_line():
    assert one_line(ValueError("a\n   b")) == "a b"
    assert one_line(RuntimeError()) == "RuntimeError"
    assert one_line(FileNotFoundError(2, "no", "x.png")) == "there is no file x.png"


@pytest.mark.parametrize(
    ("table", "module", "left_out"),
    [
        (
            names.SAMPLERS,
            samplers,  # restart's levels have no name; the others make samplers or their options
            {"ExponentialTableau", "Tableau", "afs", "denoise_to_zero", "ending", "ncsnv2_step",
             "restart"},
        ),
        (
            names.LEVELS,
            levels,
            {"Levels", "explicit", "explicit_t", "flow_mu", "restart",
             *edit.__all__, *search.__all__},
        ),
        (names.PREDICTIONS, prediction, {"Prediction"}),
        (
            names.PROCESSES,
            process,
            {"Curve", "Process", "alpha_bar_betas", "discrete", "iddpm_levels",
             "rescale_zero_terminal_snr"},
        ),
    ],
)  # fmt: skip
def test_every_function_has_a_name(table, module, left_out):
    """A new sampler, rule, process or prediction must be reachable."""
    public = {
        name
        for name in vars(module)
        if not name.startswith("_")
        and getattr(getattr(module, name), "__module__", "").startswith(module.__name__)
    }
    reachable = {function.__name__ for function in table.values()}
    reachable |= {f"{name}_betas" for name in reachable}  # tables go by the name of their process
    assert public - left_out <= reachable


@pytest.mark.parametrize("name", names.PROCESSES)
def test_process_by_name(name):
    made = names.called("process", names.PROCESSES[name], {})
    assert isinstance(made, process.Process)


@pytest.mark.parametrize("name", names.LEVELS)
def test_levels_by_name(name):
    table = process.discrete(process.scaled_linear_betas())
    made = names.called("levels", names.LEVELS[name], {}, n=7, process=table)
    assert len(made) == (8 if name == "ddim-uniform" else 7)  # 7 does not divide 1000
    assert made.sigma[-1] == 0.0


@pytest.mark.parametrize("name", names.PREDICTIONS)
def test_prediction_by_name(name):
    made = names.called("prediction", names.PREDICTIONS[name], {}, process=process.vp())
    assert isinstance(made, prediction.Prediction)


def test_arguments_become_what_they_are():
    made = made_of("karras:rho=5,final_zero=false,sigma-max=10")
    assert made == levels.karras(3, sigma_max=10.0, rho=5.0, final_zero=False)
    assert names.called("process", *names.chosen("p", names.PROCESSES, "ddpm:n=10")).size == 10
    latent = names.chosen("p", names.PROCESSES, "latent:zero_snr=true,end=0.02")
    assert names.called("process", *latent).level(999) == float("inf")


def made_of(text):
    function, given = names.chosen("levels", names.LEVELS, text)
    return names.called("levels", function, given, n=3, process=process.edm())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("karras:rho", "not of the form key=value"),
        ("karras:rho=", "not of the form key=value"),
        ("karras:width=3", "has no argument 'width'; it takes: sigma_min, sigma_max, rho"),
        ("karras:n=3", "has no argument 'n'"),
        ("karras:rho=big", "is 'big', expected a number"),
        ("karras:final_zero=1", "expected true or false"),
        ("leading:steps_offset=0.5", "expected a whole number"),
    ],
)
def test_arguments_that_fit_nothing(text, message):
    with pytest.raises(ValueError, match=message):
        made_of(text)


def test_quickstart_passes_its_arguments_on(run, monkeypatch):
    from pydiffcore.cli import quickstart

    calls = []
    monkeypatch.setattr(quickstart, "quickstart", lambda *a, **k: calls.append((a, k)))
    assert run("quickstart")[0] == 0
    given = ("--out", "d", "--seed", "3", "--steps", "5", "--samples", "800", "--nfe", "9")
    assert run("quickstart", *given, "--resume")[0] == 0
    assert calls == [
        (
            ("runs/quickstart",),
            {"overrides": ["run.seed=0"], "samples": 1000, "nfe": 35, "resume": False},
        ),
        (
            ("d",),
            {
                "overrides": ["run.seed=3", "run.images=640"],
                "samples": 800,
                "nfe": 9,
                "resume": True,
            },
        ),
    ]


def test_a_quickstart_that_was_stopped(run, monkeypatch):
    """It saves its work and leaves with the signal's own code."""
    from pydiffcore.cli import quickstart

    def stopped(*args, **kwargs):
        raise SystemExit(130)

    monkeypatch.setattr(quickstart, "quickstart", stopped)
    assert run("quickstart")[0] == 130


def test_quickstart_refuses(refused, tmp_path):
    assert "steps is 0" in refused("quickstart", "--out", tmp_path, "--steps", "0")
    assert "nfe is 4" in refused("quickstart", "--out", tmp_path, "--nfe", "4")
    assert "samples is 10" in refused("quickstart", "--out", tmp_path, "--samples", "10")
    assert "checkpoints" in refused("quickstart", "--out", tmp_path, "--resume")
