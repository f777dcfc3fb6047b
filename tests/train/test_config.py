# SPDX-License-Identifier: Apache-2.0
import pytest

pytest.importorskip("pydantic")

from pydiffcore.train.average import Power
from pydiffcore.train.config import Config, configured
from pydiffcore.train.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_configuration(preset):
    config = configured(preset=preset)
    assert config.cell == PRESETS[preset]
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_a_file_fields_and_overrides(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(
        'preset = "ddpm"\n[optimiser]\nbatch = 96\nrate = {peak = 1e-4, warmup = 10}\n'
        '[averages.narrow]\nkind = "power"\nwidth = 0.05\n'
    )
    config = configured(path, ["optimiser.batch=48", "data.source=a b.zip", "run.images=1000"])
    assert (config.optimiser.batch, config.optimiser.rate.warmup, config.steps) == (48, 10, 21)
    assert config.data.source == "a b.zip"
    assert config.kinds == {"narrow": Power(0.05)}
    changed = configured(path, ["weight={name='p2', gamma=1.0}", "law={name='discrete_uniform'}"])
    assert changed.cell.weight.name.startswith("p2")
    assert changed.cell.law == PRESETS["ddpm"].law


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("preset=gan", "preset is 'gan'.*'ddpm'.*'edm'"),
        ("optimiser.batch=0", "optimiser.batch is 0.*greater than or equal to 1"),
        ("optimiser.batch=many", "optimiser.batch is 'many'"),
        ("optimiser.rate={kind='step'}", "optimiser.rate is.*constant, cosine, inverse_sqrt"),
        ("optimiser.precision=fp8", "precision is 'fp8'.*'float32', 'bfloat16' or 'float16'"),
        ("optimiser.accumulate=3", "accumulate is 3, expected a divisor of optimiser.batch, 128"),
        ("data.label_dropout=1.0", "label_dropout is 1.0.*less than 1"),
        ("data.colour=1", "data.colour is no field of a training: data has source, labels"),
        ("optimizer.batch=3", "optimizer is no field.*did you mean optimiser[?] a training has p"),
        ("optimiser.bach=3", "optimiser.bach is no field.*did you mean optimiser.batch[?]"),
        ("optimiser.rate.pek=1", "rate.pek is no field.*optimiser.rate has peak, kind, warmup"),
        ("run.seed=-1", "run.seed is -1"),
        ("run.images=nan", "run.images is nan"),
        ("network.name=gan", "network.name is 'gan'.*'adm'"),
        ("network.options={deep=3}", "network.options.deep is no argument of dit: did you mean d"),
        ("network.options={width='a'}", "network.options.width is 'a', expected a whole number"),
        ("network.options={depth=true}", "network.options.depth is True, expected a whole number"),
        ("law={name='lognormal', sigma=2}", "law.sigma is no argument of lognormal.*mean, std"),
        ("weight={name='p2', k='a'}", "weight.k is 'a', expected a number"),
        ("optimiser.rate=1e-3", "rate is 0.001: expected a table of peak, kind, warmup, ref"),
        ("optimiser=3", "optimiser is 3: expected a table of batch, accumulate"),
        ("weight={name='min'}", "weight.name is 'min', expected one of"),
        ("weight={name='p2', k=-1}", "weight: k"),
        ("law={name='lognormal', std=0}", "law: std"),
        ("importance=true", "importance is true, but .* has no table"),
        ("averages={}", "averages is {}"),
        ("averages={'a/b'={kind='power'}}", "averages has the name 'a/b', expected letters"),
        ("process={name='vp'}", "process is given: expected prediction and law as well"),
        ("averages={a={kind='mean'}}", "averages.a.kind is 'mean', expected one of fixed"),
        ("averages={a={kind='power', width=3}}", "averages.a: width is 3"),
        ("data.augment=0.1", "data.augment is 0.1|^$"),
        ("nothing", "override is 'nothing', expected section.field=value"),
    ],
)
def test_nonsense_is_refused_by_its_name(override, words):
    network = ["network.name=dit"] if "augment" in override or "options" in override else []
    with pytest.raises(ValueError, match=words):
        configured(overrides=[*network, override])


def test_lists_of_a_network_are_checked_entry_by_entry():
    for given, words in (("[1, 'a']", "each a whole number"), ("3", "expected a list")):
        with pytest.raises(ValueError, match=f"network.options.multipliers is .*{words}"):
            configured(preset="ncsnpp-ve", overrides=[f"network.options.multipliers={given}"])


def test_laws_that_do_not_fit_the_loss_are_refused():
    with pytest.raises(ValueError, match=r"law is lognormal.*, expected levels of"):
        configured(preset="iddpm", overrides=["law={name='lognormal'}"])
    with pytest.raises(ValueError, match="law is given, but importance"):
        configured(preset="ddpm", overrides=["importance=true", "law={name='discrete_uniform'}"])


@pytest.mark.parametrize("changes", [["importance=true"], ["importance=true", "loss=vlb"], []])
def test_a_process_of_ones_own_needs_no_law_where_its_entries_are_drawn(changes):
    """Importance draws the levels itself, and the bound has those of the table alone."""
    process = "process={name='discrete', betas={name='cosine_betas', n=40}}"
    config = configured(
        preset="iddpm", overrides=[process, "prediction={name='eps'}", *changes, "run.images=12"]
    )
    assert config.cell.process.size == len(config.cell.law.levels) == 40
    again = Config.model_validate_json(config.model_dump_json())
    assert again.cell == config.cell
    with pytest.raises(ValueError, match=r"importance is true, but vp.* has no table"):
        configured(overrides=["importance=true", "process={name='vp'}", "prediction={name='eps'}"])


def test_a_preset_that_learns_a_variance_needs_a_network_that_can():
    with pytest.raises(ValueError, match="cannot learn a variance"):
        configured(preset="iddpm", overrides=["network.name=unet"])


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text("preset = \n")
    with pytest.raises(ValueError, match=r"b.toml is no valid TOML"):
        configured(path)
