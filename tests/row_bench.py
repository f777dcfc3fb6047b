# SPDX-License-Identifier: Apache-2.0
"""A program on random tensors, and its rows in NumPy: the oracle of the native ones."""

import native_battery as battery
import numpy as np
import torch

from pydiffcore.ops.noise import reference_normal
from pydiffcore.ops.program import bind

TORCH = {np.float32: torch.float32, np.float64: torch.float64}
IO_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def oracle(t, row, state, F, unconditional, noise, seeds):
    """One row in NumPy: what it writes to the target planes, and the next input before its cast."""
    T, N = state.dtype.type, state.shape[2]
    z = noise
    if noise is None:
        z = [
            reference_normal(seeds, N, purpose=int(p), stream=int(s)).astype(T)
            for p, s in zip(t["purpose"][row], t["stream"][row], strict=True)
        ]
    if unconditional is not None:
        w = np.broadcast_to(t["guidance"][row], len(seeds)).astype(T)[:, None]
        F = unconditional + w * (F - unconditional)
    if t["clip"] is not None:
        low, high = t["clip"]
        D = T(t["c_skip"][row]) * state[0] + T(t["c_out"][row]) * F
        D = np.minimum(np.maximum(D, T(low)), T(high))
    after = []
    for j in range(t["registers_out"][row]):
        read = [state[plane] for plane in t["source"][row][: t["registers_in"][row]]]
        terms = [T(t["A"][row, j, k]) * register for k, register in enumerate(read)]
        terms += [] if F is None else [T(t["f"][row, j]) * F]
        terms += [] if t["clip"] is None else [T(t["d"][row, j]) * D]
        terms += [T(t["S"][row, j, m]) * z[m] for m in range(t["draws"][row])]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        after.append(total)
    return after, T(t["c_in"][row]) * after[0]


class Bench:
    """A program on random tensors, and its oracle."""

    def __init__(self, K=2, M=1, shape=(3, 70), state=np.float32, io=torch.float32,
                 clip=None, guided=False, kin=None, kout=None, seed=0):  # fmt: skip
        rng = np.random.default_rng(seed)
        self.B, self.N = shape
        self.table = battery.table(rng, K, M, self.B, clip, guided)
        self.table["registers_in"] = [K if kin is None else kin] * 2
        self.table["registers_out"] = [kout or K] * 2
        self.seeds = battery.seeds_of(rng, self.B)
        self.state = battery.tensor(rng, (K, *shape), TORCH[state])
        self.F, self.unconditional, self.input = (battery.tensor(rng, shape, io) for _ in range(3))
        self.program = bind(**self.table, state=self.state, input=self.input, seeds=self.seeds)
        self.before = self.state.numpy().copy()

    def expect(self, F=None, unconditional=None, noise=None):
        T = self.before.dtype
        F, unconditional = (
            None if x is None else x.to(self.state.dtype).numpy() for x in (F, unconditional)
        )
        assert T in (np.float32, np.float64)
        return oracle(self.table, 1, self.before, F, unconditional, noise, self.seeds)

    def check(self, expected):
        after, input = expected
        state = self.before.copy()
        state[self.table["target"][1][: len(after)]] = after
        np.testing.assert_array_equal(self.state.numpy(), state)
        assert torch.equal(self.input, torch.from_numpy(input).to(self.input.dtype))

    def advance(self, F=None, unconditional=None, noise=None, row=1):
        pointers = [0 if x is None else x.data_ptr() for x in (F, unconditional, noise)]
        return self.program.advance(row, *pointers)
