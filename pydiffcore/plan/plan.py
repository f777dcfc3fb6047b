# SPDX-License-Identifier: Apache-2.0
"""The Plan: a sampler as a frozen table of float64 coefficients, one row per network call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pydiffcore.plan import marginal, store, table
from pydiffcore.plan.planes import Planes, planes_of
from pydiffcore.prediction import Prediction
from pydiffcore.process import Process

__all__ = ["Plan"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plan:
    """A sampler, traced: n network calls and n + 1 rows between them.

    Row 0 makes the first query from the initial state.  Row i + 1 runs when the network's output
    F_i is known (k registers, register 0 is the query)::

        D_i    = clip(c_skip_i·reg_0/scale_i + c_out_i·F_i)
        reg'_j = Σ_k A[i+1,j,k]·reg_k + B[i+1,j]·D_i + B_raw[i+1,j]·(D_i unclipped)
                 + Σ_m S[i+1,j,m]·z(stream[i+1,m])
        input' = c_in_{i+1}·reg'_0/scale_{i+1}

    Register 0 holds ``scale`` times the EDM frame's state, the others what the sampler keeps, in
    the EDM frame.  After the last row register 0 is the result.  Nothing is declared that follows
    from the numbers: calls, registers, stochasticity, amplification and marginals are derived.

    Attributes:
        sampler, levels, prediction: names, with their parameters.
        sigma: [n] EDM level of each query; ``sigma_init`` and ``sigma_final`` the ends.
        scale: [n + 1] of register 0 at each query and at the result; ``scale_init`` before row 0.
        c_skip, c_out, c_in, c_noise: [n] preconditioning of each call, EDM frame.
        clip: (low, high) for D, or None.
        A: [n + 1, K, K], B and B_raw: [n + 1, K], S: [n + 1, K, M], stream: [n + 1, M] with -1
            where a row draws less; registers_out: [n + 1].
        interval: [draws, 2] levels (from, to) of the step that each stream's noise belongs to,
            NaN where the sampler does not say.
        spread: [draws] ln(largest/smallest deviation) of noise whose deviation is learned: the
            stream is z·exp(f·spread), f = (v + 1)/2 of the call before; 0 for all other noise.
        first_stream: what the kernels' noise adds to the numbers of streams, so that a run that
            goes on where another stopped draws other noise.

    Raises:
        ValueError: shapes disagree, a number is not finite, or a count is out of range.

    """

    sampler: str
    levels: str
    prediction: str
    sigma: Array
    sigma_init: float
    sigma_final: float
    scale: Array
    scale_init: float
    c_skip: Array
    c_out: Array
    c_in: Array
    c_noise: Array
    A: Array
    B: Array
    B_raw: Array
    S: Array
    stream: NDArray[np.int64]
    registers_out: NDArray[np.int64]
    interval: Array
    clip: tuple[float, float] | None = None
    spread: Array = field(default_factory=lambda: np.zeros(0))
    first_stream: int = 0

    def __post_init__(self) -> None:
        if not len(self.spread):
            object.__setattr__(self, "spread", np.zeros(self.draws))
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                kind = np.int64 if each.name in ("stream", "registers_out") else np.float64
                frozen = np.array(value, dtype=kind, order="C")
                frozen.setflags(write=False)
                object.__setattr__(self, each.name, frozen)
        self._check()

    def _check(self) -> None:
        n, (K, M) = len(self.sigma), self.S.shape[1:]
        expected = {
            "scale": (n + 1,), "c_skip": (n,), "c_out": (n,), "c_in": (n,), "c_noise": (n,),
            "A": (n + 1, K, K), "B": (n + 1, K), "B_raw": (n + 1, K), "S": (n + 1, K, M),
            "stream": (n + 1, M), "registers_out": (n + 1,), "spread": (self.draws,),
        }  # fmt: skip
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise ValueError(f"plan.{name} has shape {value.shape}, expected {shape}")
            if not np.isfinite(value).all():
                row = int(np.argwhere(~np.isfinite(value))[0][0])
                raise ValueError(f"plan.{name} is not finite at row {row}")
        if n == 0 or not (np.isfinite(self.sigma) & (self.sigma > 0)).all():
            raise ValueError(f"plan.sigma is {self.sigma}, expected finite levels above 0")
        if not ((self.scale > 0).all() and self.scale_init > 0):
            raise ValueError("plan.scale has a value that is not above 0")
        counts = self.registers_out
        if counts.min() < 1 or counts.max() > K or counts[-1] != 1:
            raise ValueError(f"plan.registers_out is {counts}, expected 1 to {K}, 1 at the end")
        if self.stream.min() < -1:
            raise ValueError("plan.stream has a number below -1")
        if not 0 <= self.first_stream <= 2**32 - self.draws:
            raise ValueError(
                f"plan.first_stream is {self.first_stream}, expected 0 to {2**32 - self.draws}"
            )
        if self.interval.shape != (self.draws, 2):
            raise ValueError(
                f"plan.interval has shape {self.interval.shape}, expected {(self.draws, 2)}"
            )

    @property
    def nfe(self) -> int:
        """Number of network calls, which is network rows per sample (doubled by guidance)."""
        return len(self.sigma)

    @property
    def registers(self) -> int:
        """Number of state tensors that are carried from one network call to the next."""
        return int(self.registers_out.max())

    @property
    def registers_in(self) -> NDArray[np.int64]:
        """[n + 1] registers that each row reads."""
        return np.concatenate([[1], self.registers_out[:-1]])

    @property
    def draws(self) -> int:
        """Number of noise streams: an explicit noise stack has this many tensors."""
        return int(self.stream.max()) + 1

    @property
    def is_stochastic(self) -> bool:
        """Whether any row adds noise after the initial state."""
        return bool((self.stream >= 0).any())

    @property
    def learned_variance(self) -> bool:
        """Whether some noise's deviation comes, element by element, from the network's output."""
        return bool(self.spread.any())

    @property
    def unscaled_input(self) -> bool:
        """Whether every network input is the state itself: c_in = 1 in its scale."""
        return bool((self.c_in / self.scale[:-1] == 1.0).all())

    @property
    def amplification(self) -> float:
        """Largest factor by which a row's terms exceed their sum: 1 loses no digits.

        max over rows and registers of Σ|term|/‖register‖, each in root mean square over data and
        noise of unit variance.
        """
        return float(self._marginal.amplification.max())

    @property
    def x0_error(self) -> Array:
        """[n + 1] error of the x0 coefficient of each query and of the result, ideally 0."""
        return self._marginal.x0_error

    @property
    def noise_ratio(self) -> Array:
        """[n + 1] noise deviation of each query and of the result over its level, ideally 1.

        Where the level is 0 the entry is 1 plus the deviation itself.
        """
        return self._marginal.noise_ratio

    @cached_property
    def denoiser_weight(self) -> Array:
        """[n + 1] Σ|weight| of all D so far in each query and in the result, EDM frame.

        An error that the calls do not share is carried into the state by so much at most.
        """
        return marginal.denoiser_weight(self)

    @property
    def register_sizes(self) -> tuple[Array, Array]:
        """[n + 1, K] x0 coefficient and noise of each register after each row."""
        return self._marginal.x0, self._marginal.noise

    @cached_property
    def _marginal(self) -> marginal.Marginal:
        return marginal.push(self)

    def bytes_per_row(self, state_bytes: int = 4, io_bytes: int = 4) -> Array:
        """[n + 1] bytes that each row moves per element: registers in and out, F, next input.

        A register that only moves is neither read nor written.
        """
        io = np.full(self.nfe + 1, 2 * io_bytes)
        io[[0, -1]] -= io_bytes
        moved = self.planes.reads.sum(axis=1) + self.planes.writes.sum(axis=1)
        return np.asarray(moved * state_bytes + io)

    @cached_property
    def planes(self) -> Planes:
        """Which registers each row reads and writes, and where in memory they lie."""
        return planes_of(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything that the plan computes with, as 64 hex digits."""
        digest = hashlib.sha256()
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "spread" and not self.learned_variance:
                continue  # as plans were before there was one
            if each.name == "first_stream" and not value:
                continue
            text = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(each.name.encode() + b"\0" + text + b"\0")
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def bind(self, prediction: Prediction) -> Plan:
        """Return the same rows for a network of another prediction."""
        c_skip, c_out, c_in, c_noise = prediction.coefficients(np.array(self.sigma))
        return replace(
            self,
            prediction=prediction.name,
            c_skip=c_skip,
            c_out=c_out,
            c_in=c_in,
            c_noise=c_noise,
        )

    def scaled(self, process: Process) -> Plan:
        """Return the same plan with a state, register 0, that is ``alpha·x`` of a process.

        x_t = alpha·x0 + sigma·z is what a VP or flow network's users see between two steps.
        """
        levels = np.append(self.sigma, self.sigma_final)
        alpha = np.asarray(process.alpha_at(levels), np.float64)
        start = float(process.alpha_at(self.sigma_init))
        factor = alpha / self.scale
        before = np.append(start / self.scale_init, factor[:-1])
        A, B, B_raw, S = (each.copy() for each in (self.A, self.B, self.B_raw, self.S))
        A[:, :, 0] /= before[:, None]
        for rows in (A, S):
            rows[:, 0] *= factor[:, None]
        for column in (B, B_raw):
            column[:, 0] *= factor
        return replace(self, scale=alpha, scale_init=start, A=A, B=B, B_raw=B_raw, S=S)

    @property
    def init_scale(self) -> float:
        """Deviation of the initial state: ``scale_init·sigma_init`` times unit noise is a start."""
        return self.sigma_init * self.scale_init

    def format(self, limit: int | None = 24) -> str:
        """Return the plan as a table of at most ``limit`` rows (None: all)."""
        return table.format_plan(self, limit)

    def __str__(self) -> str:
        return self.format()

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw levels, coefficients and noise against the row; write a picture or return it."""
        return table.plot_plan(self, path)

    def to_json(self) -> str:
        """Return the plan as text, with its hash."""
        return store.to_json(self)

    @staticmethod
    def from_json(text: str) -> Plan:
        """Read a plan from its text; altered or truncated text is refused."""
        return store.from_json(Plan, text)

    def save(self, path: str | Path) -> None:
        """Write the plan to a JSON file with its hash."""
        store.save(self, path)

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Read a plan from its JSON file; an altered or truncated file is refused."""
        return store.load(Plan, path)
