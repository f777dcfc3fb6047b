# SPDX-License-Identifier: Apache-2.0
"""Fields of a training that do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydiffcore.train.config import Config

__all__ = ["check_together"]


def check_together(config: Config) -> None:
    """Refuse options of a loss that has none, and layouts that a network or shards do not have.

    Args:
        config: whose fields are each permitted.

    Raises:
        ValueError: two of them contradict each other.
    """
    name, cell = config.network_name, config.cell
    for option in ("huber", "scales"):
        if getattr(config, option) is not None and cell.loss != "denoising":
            raise ValueError(f"{option} is {getattr(config, option)}, but loss is "
                             f"{cell.loss!r}; expected 'denoising'")  # fmt: skip
    if config.scales is not None and name == "mlp":
        raise ValueError(f"scales is {config.scales}, but mlp takes vectors, without frequencies")
    for switch in ("compile", "channels_last"):
        if config.run.shard and getattr(config.run, switch):
            raise ValueError(f"run.{switch} is true, but so is run.shard; expected one of them")
    if config.run.channels_last and name in ("mlp", "unet1d"):
        raise ValueError(f"run.channels_last is true, but {name} takes no images; "
                         "expected false")  # fmt: skip
