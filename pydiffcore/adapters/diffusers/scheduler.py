# SPDX-License-Identifier: Apache-2.0
"""The scheduler: one class that maps a configuration to a plan and runs its rows.

Each name of diffusers is this class with a :class:`Family`, the constructor's signature of the
diffusers that is installed, and that scheduler as a base, so that ``isinstance`` and the small
helpers of its class hold; construction, timesteps, steps and noise are all done here.
"""

from __future__ import annotations

import inspect
import sys
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pydiffcore.adapters.diffusers.family import Family
from pydiffcore.adapters.diffusers.names import FAMILIES
from pydiffcore.adapters.diffusers.noise import drawn, seeds_of
from pydiffcore.adapters.diffusers.recipe import Recipe
from pydiffcore.adapters.diffusers.run import Run
from pydiffcore.adapters.diffusers.threads import PerThread, Threads
from pydiffcore.adapters.diffusers.threshold import threshold

__all__ = ["Fused", "scheduler_class"]

LOCAL = (
    "timesteps", "sigmas", "num_inference_steps", "custom_timesteps", "is_scale_input_called",
    "_step_index", "_begin_index", "_run",
)  # fmt: skip
WIDE = (torch.float32, torch.float64)


class Fused:
    """What all schedulers do.  ``noise = "seeded"`` makes a step's noise inside its row."""

    family: Family
    noise = "torch"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__["_threads"] = Threads({"_step_index": None, "_begin_index": None})
        self.__dict__["__module__"] = "diffusers"  # how pipelines that are saved name the class
        self._assign(self.family.setup(self))

    def _assign(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    # ------------------------------------------------------------------ timesteps

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """Set the timesteps of the runs to come; arguments as in diffusers."""
        given = self._set_timesteps.bind(self, *args, **kwargs)
        given.apply_defaults()
        arguments = dict(given.arguments)
        arguments.pop("self")
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
        index: int | None = self._threads.values()["_step_index"]
        return index

    @property
    def begin_index(self) -> int | None:
        """The step at which the run begins, None where the first timestep says."""
        index: int | None = self._threads.values()["_begin_index"]
        return index

    def index_for_timestep(self, timestep: Any, schedule_timesteps: Tensor | None = None) -> int:
        """Return where a timestep stands: of two equal ones the second, where a step begins.

        Raises:
            IndexError: it is not there.

        """
        schedule = self.timesteps if schedule_timesteps is None else schedule_timesteps
        found = (schedule == timestep).nonzero()
        if not len(found):
            raise IndexError(
                f"timestep {timestep} is not one of the scheduler's {len(schedule)} timesteps, "
                f"{schedule[:3].tolist()} … {schedule[-1:].tolist()}"
            )
        return int(found[1 if len(found) > 1 else 0].item())

    def _init_step_index(self, timestep: Any) -> None:
        if self._begin_index is not None:
            self._step_index = self._begin_index
            return
        if isinstance(timestep, Tensor):
            timestep = timestep.to(self.timesteps.device)
        self._step_index = self.index_for_timestep(timestep)

    # ------------------------------------------------------------------ inputs

    def scale_model_input(self, sample: Tensor, timestep: Any = None, *_: Any, **__: Any) -> Tensor:
        """Return what the network is to be given for a state."""
        scale = self.family.input_scale
        if scale is None:
            return sample
        if self.step_index is None:
            self._init_step_index(timestep)
        self.is_scale_input_called = True
        return sample * scale(self, self.step_index)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return alpha·x0 + sigma·noise at the timesteps, one per sample."""
        if self.family.noising is None:
            raise NotImplementedError(f"{type(self).__name__} adds no noise")
        shape = (-1, *(1,) * (original_samples.ndim - 1))
        alpha, sigma = self.family.noising(self, timesteps, original_samples)
        return alpha.reshape(shape) * original_samples + sigma.reshape(shape) * noise

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    # ------------------------------------------------------------------ steps

    def step(
        self, model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any
    ) -> Any:
        """Take the state from a timestep to the next; arguments as in diffusers."""
        options = self._options(args, kwargs)
        self._check_step(timestep)
        family, values = self.family, self._threads.values()
        index = self._place(timestep, values)
        F, variance = model_output, None
        if family.split is not None:
            F, variance = family.split(self, F, sample, timestep)
        run, fresh = self._running(values, index, timestep, sample, F, options)
        call = run.row - 1
        z = self._noise(run, index, timestep, F, variance, options)
        D = None
        if self.config.get("thresholding"):
            D = threshold(run.denoised(sample, F, call, clip=False), self.config)
        state = run.step(sample if fresh else None, F, z, D)
        dtype = F.dtype if family.upcasts else torch.promote_types(sample.dtype, F.dtype)
        result = state.to(dtype) if state.requires_grad else state.to(dtype, copy=True)
        if not family.by_time:
            values["_step_index"] = index + 1
        values["_last"] = None if result.is_inference() else (result, result._version)
        return self._returned(run, result, sample, F, z, D, call, options)

    def _options(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if not args and not kwargs:
            return self._step_defaults
        options = {**self._step_defaults, **kwargs}
        names = [name for name in self._step_defaults if name not in self.family.extra]
        if len(args) > len(names) or len(options) > len(self._step_defaults):
            wrong = sorted(set(kwargs) - set(self._step_defaults)) or len(args) + 4
            raise TypeError(
                f"{type(self).__name__}.step() got {wrong}, expected {inspect.signature(self.step)}"
            )
        options.update(zip(names, args, strict=False))
        return options

    def _check_step(self, timestep: Any) -> None:
        if not self.family.early and self.num_inference_steps is None:
            raise ValueError(
                "num_inference_steps is None: call set_timesteps before the first step"
            )
        if self.family.integers or isinstance(timestep, float):
            return
        whole = isinstance(timestep, Tensor) and not timestep.is_floating_point()
        if isinstance(timestep, int) or whole:
            raise ValueError(
                f"timestep is {timestep!r}: integers, such as the indices of enumerate(timesteps), "
                f"are no timesteps of {type(self).__name__}; pass one of scheduler.timesteps"
            )

    def _place(self, timestep: Any, values: dict[str, Any]) -> int:
        """Return the index of the step, -1 for a time that is not in the schedule."""
        if self.family.by_time:
            return _position(timestep, values)
        index = values["_step_index"]
        over = index is not None and index >= len(values["timesteps"]) and not self.family.wraps
        if over and self._begin_index is None:  # a run begins anew
            index = values["_step_index"] = None
        if index is None:
            self._init_step_index(timestep)
            index = values["_step_index"]
        if index >= len(values["timesteps"]) and not self.family.wraps:
            raise IndexError(
                f"step {index} of a schedule of {len(values['timesteps'])}: the run is over, call "
                "set_timesteps for another"
            )
        return int(index)

    def _running(
        self, values: dict[str, Any], index: int, timestep: Any, sample: Tensor, F: Tensor,
        options: dict[str, Any],
    ) -> tuple[Run, bool]:  # fmt: skip
        """Return the run at the row of this step, and whether it must be given the sample."""
        wide = torch.float64 if torch.float64 in (sample.dtype, F.dtype) else torch.float32
        key = tuple(options[name] for name in self.family.options)
        source = (values["timesteps"], values.get("sigmas"), key, self.noise)
        kept = values.get("_run")
        if kept is not None and index >= 0:
            run, origin, first = kept
            same = all(a is b for a, b in zip(origin[:2], source, strict=False))
            changed = origin[2:] != source[2:] and (self.family.by_time or run.state_only)
            if same and not changed and run.fits(sample, wide, F.dtype):
                row = index - first + 1
                if self.family.by_time:
                    run.row = row
                if run.row == row:
                    last = values.get("_last")
                    known = last is not None and last[0] is sample and last[1] == sample._version
                    return run, not known
        recipe = self._recipe(index, timestep, options)
        seeds = None
        if self.noise == "seeded":
            seeds = seeds_of(options.get("generator"), sample.shape[0])
        run = Run(recipe, sample, wide, F.dtype, seeds)
        first = index
        if self.family.by_time and index >= 0:
            run.row, first = index + 1, 0
        values["_run"] = (run, source, first)
        return run, True

    def _recipe(self, index: int, timestep: Any, options: dict[str, Any]) -> Recipe:
        kind = self.config.get("prediction_type", "epsilon")
        if kind in self.family.missing:
            raise NotImplementedError(f"prediction_type {kind!r} of {type(self).__name__}")
        if kind not in self.family.kinds:
            raise ValueError(
                f"prediction_type is {kind!r}, expected one of {', '.join(self.family.kinds)}"
            )
        if not self.family.by_time:
            return self.family.recipe(self, index, options)
        at = [int(t) for t in self.timesteps.tolist()] if index >= 0 else [int(timestep)]
        return self.family.recipe(self, at, options)

    def _noise(
        self, run: Run, index: int, timestep: Any, F: Tensor, variance: Tensor | None,
        options: dict[str, Any],
    ) -> Tensor | None:  # fmt: skip
        """Return a row's draws, None where it has none or makes them itself."""
        needed = run.draws(run.row)
        if run.seeds is not None and variance is None:
            return None
        wanted = self.family.draws
        if not (needed if wanted is None else wanted(self, index, timestep, options)):
            return None
        z = drawn(F, options, max(needed, 1))
        if variance is not None:
            z = z * variance
        return z.to(run.dtype).contiguous() if needed else None

    def _returned(
        self, run: Run, result: Tensor, sample: Tensor, F: Tensor, z: Tensor | None,
        D: Tensor | None, call: int, options: dict[str, Any],
    ) -> Any:  # fmt: skip
        if not self.family.second:
            return self._output(result) if options["return_dict"] else (result,)
        second = run.denoised(sample, F, call) if D is None else D
        if run.recipe.second is not None:
            a, b, s = run.recipe.second[call]
            second = a * sample + b * second
            second = second if z is None or s == 0.0 else second + s * z[0]
        if not options["return_dict"]:
            return result, second
        return self._output(result, second)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()


def _position(timestep: Any, values: dict[str, Any]) -> int:
    """Return where a timestep stands; an element of the schedule itself knows it by its address.

    Reading the value of a timestep on a device would wait for it.
    """
    schedule = values["timesteps"]
    if isinstance(timestep, Tensor) and timestep.dtype == schedule.dtype:
        offset = timestep.data_ptr() - schedule.data_ptr()
        place, rest = divmod(offset, schedule.element_size())
        if rest == 0 and 0 <= place < len(schedule) and timestep.numel() == 1:
            return int(place)
    places = values.get("_places")
    if places is None or places[0] is not schedule:
        places = values["_places"] = (schedule, {t: i for i, t in enumerate(schedule.tolist())})
    found: int = places[1].get(timestep.item() if isinstance(timestep, Tensor) else timestep, -1)
    return found


@lru_cache(maxsize=None)
def scheduler_class(name: str) -> type:
    """Return the class of a name: diffusers' own with everything done by :class:`Fused`.

    Raises:
        AttributeError: there is no such scheduler here.
        ImportError: diffusers is not installed.

    """
    if name not in FAMILIES:
        raise AttributeError(f"no scheduler {name!r}: there are {', '.join(sorted(FAMILIES))}")
    import diffusers
    from diffusers.configuration_utils import register_to_config

    family, theirs = FAMILIES[name], getattr(diffusers, name)
    module = sys.modules[theirs.__module__]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        Fused.__init__(self, *args, **kwargs)

    __init__.__signature__ = inspect.signature(theirs.__init__)  # type: ignore[attr-defined]
    members: dict[str, Any] = {
        "__init__": register_to_config(__init__),
        "__module__": "pydiffcore.adapters.diffusers",
        "__doc__": f"diffusers' {name}, its steps run as rows of a plan.",
        "family": family,
        "_output": getattr(module, family.output),
        "_set_timesteps": inspect.signature(theirs.set_timesteps),
        **{each: PerThread(each) for each in (*LOCAL, *family.local)},
    }
    for own, other in (("step", "step"), ("set_timesteps", "set_timesteps")):
        if hasattr(theirs, other):
            members[own] = _signed(getattr(Fused, own), getattr(theirs, other), family.extra)
    if hasattr(theirs, "step"):
        parameters = [*inspect.signature(members["step"]).parameters.values()][4:]
        members["_step_defaults"] = {p.name: p.default for p in parameters}
    members.update(family.members)
    return type(name, (Fused, theirs), members)


def _signed(own: Any, theirs: Any, extra: dict[str, Any]) -> Any:
    """Return a function of ours with the signature of theirs, which pipelines inspect."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return own(self, *args, **kwargs)

    signature = inspect.signature(theirs)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
        for name, value in extra.items()
    ]
    parameters = [*signature.parameters.values(), *more]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__name__, call.__doc__ = own.__name__, own.__doc__
    return call
