# SPDX-License-Identifier: Apache-2.0
"""The core's bars of speed for dpmpp_3m, unipc, dpmpp_sde and churned heun, float32.

One figure against the matching peer, one against the best of three hand-written eager forms, one
against ``torch.compile(fullgraph=True)``; median ratios of interleaved rounds within one run, the
same network outputs for all.  The peers of dpmpp_3m and unipc are diffusers' ``step`` alone; those
of dpmpp_sde and of Heun with churn, which diffusers lacks, are k-diffusion's functions on a model
that returns a tensor at once, with ``torch.randn_like`` as noise.  diffusers' own dpmpp_sde draws
from a Brownian tree and is published beside it.  Every row of dpmpp_sde draws; of Heun with churn
those within its range of levels and of these every second, 13 of 35 on 18 levels.  It has the bars
of a stochastic row all the same; beside the compiled figure stands what the rows that draw, and the
others, come to by themselves, and beside the peer's what Heun comes to without churn.

Rows without noise move 20 bytes per element (unipc, with its corrector, and dpmpp_3m 28) where the
eager forms move 52 to 96: beyond cache that ratio is what there is to gain.  What a row that
draws gains in cache is for the most part what its normals do, ours against torch's, which come one
thread at a time: the last figures.  Ours keep a core's vector units busy, so they gain what those
are wide.  A sample of two elements, as in 8192×2, uses half of each block of four normals, so that
each of its normals costs more.
"""

import numpy as np
import torch
import torch._inductor.config as inductor

from benchmarks import steps, zoo_steps
from benchmarks.claims.claim import Figure, main
from benchmarks.interleaved import ratios, seconds
from benchmarks.row_kinds import ratios_by_kind
from pydiffcore.ops import native

NORMALS, DRAWS = ((64, 3, 32, 32), (8192, 2)), 200


def peer_bar(method, size, threads):
    if size == steps.SIZES[0]:
        return ">= 40" if method in ("dpmpp_3m", "unipc") else ">= 20"
    if method in ("dpmpp_3m", "unipc"):
        return ">= 10"
    return ">= 6" if threads == 1 else ">= 9"


def against_peers(method, size, n):
    loops = {"ours": zoo_steps.ours(method, size, n), **zoo_steps.peers(method, size, n)}
    r = ratios(seconds(loops, budget=1.5), "ours")
    first, *others = (name for name in r if name != "ours")
    notes = [first, *(f"{name} {r[name]:.1f}×" for name in others)]
    if method == "churned_heun":
        notes.append(f"without churn {against_peers('heun', size, n)[0]:.1f}×")
    return r[first], ", ".join(notes)


def against_eager(method, size, n):
    loops = {"ours": zoo_steps.ours(method, size, n)}
    forms = {form: zoo_steps.by_hand(form, method, size, n) for form in zoo_steps.FORMS}
    r = ratios(seconds(loops | forms, budget=1.5), "ours")
    best = min(forms, key=r.__getitem__)
    return r[best], f"best form: {best}"


def against_compiled(method, size, n):
    inductor.fallback_random = method in zoo_steps.STOCHASTIC
    loops = {
        "ours": zoo_steps.ours(method, size, n),
        "compiled": zoo_steps.by_hand("compiled", method, size, n),
    }
    value = ratios(seconds(loops, budget=1.0), "ours")["compiled"]
    if method != "churned_heun":
        return value, ""
    drawing, plain = ratios_by_kind(zoo_steps.plan_of(method, n), size)
    return value, f"rows that draw {drawing:.1f}×, the others {plain:.1f}×"


def normals_alone(size):
    out = torch.empty(size)
    flat, seeds = out.view(size[0], -1), np.arange(size[0], dtype=np.uint64)

    def ours():
        for stream in range(DRAWS):
            native.normal(flat, seeds, 1, stream)

    def theirs():
        for _ in range(DRAWS):
            out.normal_()

    taken = seconds({"ours": ours, "torch": theirs}, repeats=15)
    each = min(taken["ours"]) / DRAWS / out.numel() * 1e9
    return ratios(taken, "ours")["torch"], f"{each:.2f} ns a normal of ours"


def measure():
    for what, method, size, n, threads in steps.every_case(zoo_steps.METHODS):
        value, note = against_peers(method, size, n)
        yield Figure(f"{what}: peer", value, peer_bar(method, size, threads), "×", note)
        value, note = against_eager(method, size, n)
        yield Figure(f"{what}: eager", value, ">= 4", "×", note)
        compiled = ">= 2"
        if method in zoo_steps.STOCHASTIC:
            compiled = ">= 4" if threads == 1 else ">= 8"
        value, note = against_compiled(method, size, n)
        yield Figure(f"{what}: compiled", value, compiled, "×", note)
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for size in NORMALS:
            value, note = normals_alone(size)
            what = f"normals alone, {steps.text(size)}, threads: {threads}"
            yield Figure(what, value, "", "×", note)


if __name__ == "__main__":
    main(measure)
