# SPDX-License-Identifier: Apache-2.0
"""A runner whose seeds, plan and weights change while its tensors stay where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.ops.checks import checked_guidance
from pydiffcore.ops.draws import Draws
from pydiffcore.ops.native import picked
from pydiffcore.ops.noise import checked_seeds
from pydiffcore.ops.rows import row_draws
from pydiffcore.ops.runner import Runner
from pydiffcore.plan import Plan

__all__ = ["RenewableRunner", "layout"]


def layout(plan: Plan) -> tuple[int, int, bytes, bool]:
    """Return what plans share that can run in the same memory, by the same launches.

    These are calls, registers, whether the input is the state, and of a learned variance its
    spreads and streams: their factors are torch operations, whose numbers a graph keeps.
    """
    learned = plan.spread.tobytes() + plan.stream.tobytes() if plan.learned_variance else b""
    return plan.nfe, plan.registers, learned, plan.unscaled_input


class RenewableRunner(Runner):
    """A :class:`Runner` for many runs of one kind."""

    def renew(
        self,
        seeds: Any = None,
        plan: Plan | None = None,
        guidance: NDArray[np.float64] | None = None,
    ) -> None:
        """Take other seeds, a plan of as many calls and registers, weights; None keeps what is.

        The tensors stay where they are, so that launches which a graph has captured, or will,
        run with the new numbers.

        Raises:
            ValueError: they do not fit the memory and the launches of this runner.

        """
        if seeds is not None:
            seeds = checked_seeds(seeds)
            if len(seeds) != len(self.seeds):
                raise ValueError(f"seeds has {len(seeds)} entries, expected {len(self.seeds)}")
        if plan is not None and layout(plan) != layout(self.plan):
            raise ValueError(
                f"plan has {plan.nfe} calls and {plan.registers} registers, expected "
                f"{self.plan.nfe} and {self.plan.registers}, the same learned variance and scale "
                "of the input, as the plan that this runner was made for"
            )
        if plan is not None and self.native:
            picked("native", self.device.type, plan.registers, row_draws(plan))
        if guidance is not None and self.guidance is None:
            raise ValueError("guidance was given, but the runner was made without")
        self.seeds = self.seeds if seeds is None else seeds
        same = (plan is None or plan == self.plan) and guidance is None
        if plan is not None and not same:
            self.plan = plan
            self._draws = Draws(plan, self.shape, self.device, self.dtype, self._draws.noise)
        if guidance is not None:
            self.guidance = checked_guidance(guidance, self.plan.nfe, len(self.seeds))
        if self._unit_noise is None or (seeds is None and same):
            return
        keys = np.array(self.seeds, np.uint64)
        if not (same and self._program is not None and self._program.reseed(keys)):
            self._bind(self._unit_noise)

    @property
    def memory(self) -> int:
        """Bytes of registers, network input and, on a device, the table."""
        block = None if self._program is None else self._program.block
        own = (self._state, self._written, *([] if block is None else [block]))
        return sum(tensor.nbytes for tensor in own)
