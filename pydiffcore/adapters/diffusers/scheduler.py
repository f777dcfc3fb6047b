# SPDX-License-Identifier: Apache-2.0
"""The scheduler: one class that maps a configuration to a plan and runs its rows.

What tells the schedulers apart is a :class:`Family`; names are made of it in ``build``.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.arguments import step_options, timestep_options
from pydiffcore.adapters.diffusers.course import Course
from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.noise import drawn
from pydiffcore.adapters.diffusers.pair import Pair
from pydiffcore.adapters.diffusers.place import begin_of, element, no_integer, position
from pydiffcore.adapters.diffusers.run import Run
from pydiffcore.adapters.diffusers.running import running
from pydiffcore.adapters.diffusers.threads import Saved, Threads, threads_of
from pydiffcore.adapters.diffusers.threshold import threshold

__all__ = ["LOCAL", "Fused"]

LOCAL = (
    "timesteps", "sigmas", "num_inference_steps", "custom_timesteps", "is_scale_input_called",
    "_step_index", "_begin_index", "_first", "_run",
)  # fmt: skip


class Fused:
    """What all schedulers do.

    ``noise`` is "torch" for the numbers that diffusers draws, or "seeded": a step's noise is made
    inside its row, from the seeds of the generators and one kernel for any number of them.
    """

    family: Family
    noise = "torch"
    config: Any
    timesteps: Any
    num_inference_steps: int | None
    is_scale_input_called: bool
    _step_index: int | None
    _begin_index: int | None
    _first: int
    _step_defaults: dict[str, Any]
    _timestep_defaults: dict[str, Any]
    _per_thread: frozenset[str]
    _output: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._threads: Threads | Saved = Threads({"_step_index": None, "_begin_index": None})
        self.__dict__["__module__"] = "diffusers"  # how pipelines that are saved name the class
        self._assign(self.family.setup(self))
        made = threads_of(self).values()  # the run of no thread, for this one has set none either
        self._threads = Threads(made, self.family.by_time)

    def _assign(self, values: dict[str, Any]) -> None:
        local = {}
        for name, value in values.items():
            if name in self._per_thread:
                local[name] = value
            else:
                setattr(self, name, value)
        threads_of(self).write(local)

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        threads = threads_of(self)
        copied.__dict__.update(self.__dict__, _threads=Saved(threads.saved(), self.family.by_time))
        return copied

    # ------------------------------------------------------------------------------- timesteps

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """Set the timesteps of the runs to come; arguments as in diffusers."""
        arguments = timestep_options(self, args, kwargs)
        device = arguments.pop("device", None)
        values = self.family.schedule(self, **arguments)
        if device is not None:
            values["timesteps"] = values["timesteps"].to(device)
        self._assign({**values, "_step_index": None, "_begin_index": None, "_run": None})

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Say at which step the next run begins."""
        self._begin_index = begin_index

    @property
    def step_index(self) -> int | None:
        """The step to come, None before the first."""
        index: int | None = threads_of(self).values()["_step_index"]
        return index

    @property
    def begin_index(self) -> int | None:
        """The step at which the run begins, None where the first timestep says."""
        index: int | None = threads_of(self).values()["_begin_index"]
        return index

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Tensor | None = None) -> int:
        """Return where a timestep stands: of two equal ones the second, where a step begins.

        Raises:
            IndexError: it is not there.

        """
        return begin_of(
            timestep, self.timesteps if schedule_timesteps is None else schedule_timesteps
        )

    def _init_step_index(self, timestep: Any) -> None:
        self._step_index = self._first = self._start(timestep)

    def _start(self, timestep: Any) -> int:
        if self._begin_index is not None:
            return self._begin_index
        schedule = self.timesteps
        place = element(timestep, schedule)
        if place == 0:  # whichever other timesteps are equal to it
            return 0
        if isinstance(timestep, Tensor):
            timestep = timestep.to(schedule.device)
        if not self.family.anywhere:
            return self.index_for_timestep(timestep)
        try:
            return begin_of(timestep, schedule)
        except IndexError:
            return 0

    # ---------------------------------------------------------------------------------- inputs

    def scale_model_input(self, sample: Tensor, timestep: Any = None, *_: Any, **__: Any) -> Tensor:
        """Return what the network is to be given for a state."""
        scale = self.family.input_scale
        if scale is None:
            return sample
        index = self._place(timestep, threads_of(self).enter(timestep, sample, looks=True))
        self.is_scale_input_called = True
        return sample * scale(self, index)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return alpha·x0 + sigma·noise at the timesteps, one per sample."""
        assert self.family.noising is not None  # else its class has no such method
        shape = (-1, *(1,) * (original_samples.ndim - 1))
        alpha, sigma = self.family.noising(self, timesteps, original_samples)
        return alpha.reshape(shape) * original_samples + sigma.reshape(shape) * noise

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    # ----------------------------------------------------------------------------------- steps

    def step(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """Take the state from a timestep to the next; arguments as in diffusers.

        Raises:
            ValueError: set_timesteps was not called, a timestep is of the wrong kind, or an
                argument does not fit.
            IndexError: the run is over, or the timestep is not in the schedule.

        """
        options = step_options(self, args, kwargs)
        self._check_step(timestep)
        threads = threads_of(self)
        values = threads.enter(timestep, sample)
        try:
            return self._stepped(values, model_output, timestep, sample, options)
        finally:
            threads.leave(values)

    def _stepped(
        self, values: Course, model_output: Tensor, timestep: Any, sample: Tensor,
        options: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Return the result of a step on this thread's values."""
        family, index = self.family, self._place(timestep, values)
        if family.outside is not None:
            state = family.outside(self, model_output, sample, index, options)
            if state is not None:
                values["_step_index"], values["_run"] = index + 1, None
                return self._output(state) if options["return_dict"] else (state,)
        F, factor = model_output, None
        if family.split is not None:
            F, factor = family.split(self, F, sample, timestep)
        run = self._running(values, index, timestep, sample, F, options)
        call = run.row - 1
        if family.noise is not None and run.draws(run.row):
            z: Tensor | None = family.noise(self, sample, index).to(run.dtype).contiguous()
        else:
            z = self._noise(run, index, timestep, F, factor, options)
        D = options[family.given] if family.given else None
        if self.config.get("thresholding") and run.recipe.clip is not None:
            D = threshold(run.denoised(sample, F, call, clip=False), self.config)
        state = run.step(sample, F, z, D)
        dtype = F.dtype if family.upcasts else torch.promote_types(sample.dtype, F.dtype)
        result = state.to(dtype) if state.requires_grad else state.to(dtype, copy=True)
        if not family.by_time:
            values["_step_index"], values.result = index + 1, ref(result)
        if run.row > run.plan.nfe:  # nothing reads the registers any more
            values["_run"] = None
        return self._returned(run, result, sample, F, z, D, call, options)

    def _check_step(self, timestep: Any) -> None:
        if not self.family.early and self.num_inference_steps is None:
            raise ValueError(
                "num_inference_steps is None: call set_timesteps before the first step"
            )
        if not self.family.integers:
            no_integer(timestep, type(self).__name__)

    def _place(self, timestep: Any, values: Course) -> int:
        """Return the index of the step, -1 for a time that is not in the schedule."""
        if self.family.by_time:
            return position(timestep, values)
        index, last = values["_step_index"], len(values["timesteps"])
        values.length = last
        if index is None or (index >= last and self._begin_index is None):  # a run begins
            if index is not None:  # without the history of the one that is over
                values["_run"] = None
            self._init_step_index(timestep)
            index = self._first
        if index >= last:
            raise IndexError(
                f"step {index} of a schedule of {last}: the run is over, call set_timesteps for "
                "another"
            )
        return int(index)

    _running = running

    def _noise(
        self, run: Run, index: int, timestep: Any, F: Tensor, factor: Tensor | None,
        options: dict[str, Any],
    ) -> Tensor | None:  # fmt: skip
        """Return a row's draws, None where it has none or makes them itself."""
        needed = run.draws(run.row)
        if run.seeds is not None and factor is None:
            return None
        wanted = self.family.draws
        if not (needed if wanted is None else wanted(self, index, timestep, options)):
            return None
        z = drawn(F, options, max(needed, 1), torch.float32 if self.family.float32_noise else None)
        if factor is not None:
            z = z * factor
        return z.to(run.dtype).contiguous() if needed else None

    def _returned(
        self, run: Run, result: Tensor, sample: Tensor, F: Tensor, z: Tensor | None,
        D: Tensor | None, call: int, options: dict[str, Any],
    ) -> Any:  # fmt: skip
        if not self.family.second:
            return self._output(result) if options["return_dict"] else (result,)

        def second() -> Tensor:
            other = run.denoised(sample, F, call) if D is None else D
            if run.recipe.second is None:
                return other
            a, b, s = run.recipe.second[call]
            other = b * other if a == 0.0 else a * sample + b * other
            return other if z is None or s == 0.0 else other + s * z[0]

        if options["return_dict"]:
            return self._output(result, second())
        now = result.requires_grad or sample.is_inference() or F.is_inference()
        return (result, second()) if now else Pair(result, second, (sample, F))
