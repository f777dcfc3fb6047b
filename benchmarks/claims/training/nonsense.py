# SPDX-License-Identifier: Apache-2.0
"""Fuzzed configurations: nonsense is refused before the first step, by the field's name.

Hypothesis writes two thousand overrides of one or two fields: names that are and are not fields,
numbers of every sign and size, words, lists, tables. Each configuration must either be refused with
a ValueError that names a field it was given and says what is expected, or train a step of a small
network on digits with a finite loss.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.claims.claim import Figure, main
from pydiffcore.data import Loader, open_source
from pydiffcore.train.config import configured
from pydiffcore.train.trainer import Trainer

COUNT = 2000
SMALL = ["network.options={width=16, multipliers=[1, 1], blocks=1, attention=[4], dropout=0.0}",
         "network.name=ddpmpp", "optimiser.batch=8", "data.workers=0"]  # fmt: skip
FIELDS = [
    "preset", "weight", "law", "importance", "data.labels", "data.mirror", "data.augment",
    "data.label_dropout", "data.workers", "data.skip_corrupt", "network.name", "network.options",
    "optimiser.batch", "optimiser.accumulate", "optimiser.rate", "optimiser.betas", "optimiser.eps",
    "optimiser.weight_decay", "optimiser.clip", "optimiser.precision", "averages", "run.images",
    "run.seed", "run.save_every", "run.keep", "run.log_every", "run.sample_every", "run.samples",
    "run.patience", "run.device", "optimizer.batch", "colour", "data.size",
]  # fmt: skip
VALUES = st.one_of(
    st.integers(-3, 40).map(str),
    st.sampled_from(["1e400", "nan", "-inf", "0.5", "-0.1", "1.0", "true", "false", "''"]),
    st.sampled_from(["edm", "ddpm", "flow", "adm", "dit", "bfloat16", "cpu", "tpu", "p2"]),
    st.sampled_from([
        "[]", "[0.9, 0.99]", "[1, 2, 3]", "{}", "{name='p2'}", "{name='min_snr', gamma=5.0}",
        "{name='lognormal', mean=0.0, std=1.0}", "{name='lognormal', std=-1}", "{peak=1e-3}",
        "{peak=-1}", "{peak=1e-3, kind='cosine', warmup=3}", "{a={kind='power', width=0.1}}",
        "{a={kind='power', width=9}}", "{a={}}", "{width=-4}", "{width=16, blocks=0}", "{deep=1}",
    ]),
)  # fmt: skip


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    source, seen, bad = open_source("digits"), Counter[str](), []

    @settings(max_examples=COUNT, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=2))
    def every(pairs: list[tuple[str, str]]) -> None:
        overrides = [f"{name}={value}" for name, value in pairs]
        try:
            config = configured(overrides=[*SMALL, *overrides])
            trainer = Trainer(config, source.shape, source.classes)
        except ValueError as error:
            seen["refused"] += 1
            words = {part for name, _ in pairs for part in re.split(r"[.]", name)}
            words |= set(re.findall(r"(\w+)=", " ".join(value for _, value in pairs)))
            if not any(word in str(error) for word in words):
                bad.append(f"{overrides}: {error}")
            return
        except Exception as error:  # what is no ValueError is a defect
            bad.append(f"{overrides}: {error!r}")
            return
        with Loader(source, batch=config.optimiser.batch, workers=0) as loader:
            report = trainer.advance(next(loader))
        seen["trained"] += 1
        if report.skipped:
            bad.append(f"{overrides}: loss {report.loss}, norm {report.norm}")

    every()
    for line in bad[:12]:
        print(f"       {line}", flush=True)
    yield Figure("configurations", sum(seen.values()) + len(bad), f">= {COUNT}")
    yield Figure("that neither are refused by a field's name nor train a step", len(bad), "<= 0")
    yield Figure("refused", seen["refused"], ">= 100")
    yield Figure("trained a step", seen["trained"], ">= 100")


if __name__ == "__main__":
    main(measure)
