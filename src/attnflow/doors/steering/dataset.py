"""A plan as an xarray Dataset, as JSON, and back."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..._check import BadInput
from ...files.laws import PIECES, is_storable, pack, sampled, unpack
from ...files.provenance import provenance
from ...flow.outcome import Basis
from ...measures.gaussian import Gaussian
from ...reachability.law import AbstractLaw
from ...reachability.motion import AlongPath, Followed, Motion, follow
from ...reachability.obstruction import Reachability
from ...reachability.replay import Replay

if TYPE_CHECKING:
    from .plan import Plan

JSON_SCHEMA = 1
KIND = "plan"
DEPTHS = (65, 33, 17, 9, 5, 3)
FILE_NUMBERS = 4_000_000
JSON_NUMBERS = 100_000
"""How many numbers the sampled controls may take; in large dimensions there are fewer depths."""

_PLAIN = ("method", "time", "tolerance", "leftover", "rounding")


def to_dataset(plan: Plan) -> xr.Dataset:
    """The labelled dataset of a plan; see `Plan.to_dataset`."""
    ts = sampled_depths(plan, FILE_NUMBERS)
    A, B, V, b, mean, cov = _samples(plan, ts)
    square = ("depth", "coord", "coord_")
    variables: dict[str, Any] = {
        "A": (square, A, {"long_name": "feed-forward matrix"}),
        "B": (square, B, {"long_name": "attention form: key y and query x have the weight exp(y^T B x)"}),
        "V": (square, V, {"long_name": "value matrix"}),
        "b": (("depth", "coord"), b, {"long_name": "feed-forward bias"}),
        "mean": (("depth", "coord"), mean, {"long_name": "mean of the reference path"}),
        "cov": (square, cov, {"long_name": "covariance of the reference path"}),
    }
    for name, gaussian in (("start", plan.start), ("target", plan.target)):
        variables[f"{name}_mean"] = (("coord",), np.asarray(gaussian.mean), {"long_name": f"mean of the {name}"})
        factor = np.asarray(gaussian.factor)
        variables[f"{name}_factor"] = (("coord", f"{name}_column"), factor, {"long_name": f"factor of the {name}"})
    stored = _stored(plan)
    variables |= {name: ([f"{name}_{i}" for i in range(array.ndim)], array) for name, array in stored.pop("arrays")}
    head = {"kind": KIND, **_head(plan), **stored, "provenance": provenance()}
    return xr.Dataset(
        variables, {"depth": ts}, {name: json.dumps(value, allow_nan=False) for name, value in head.items()}
    )


def from_dataset(dataset: xr.Dataset, attributes: Mapping[str, Any]) -> Plan:
    """The plan that `to_dataset` stored in `dataset`, with its `attributes` decoded."""
    from .plan import Plan

    arrays = {str(name): variable.to_numpy() for name, variable in dataset.variables.items()}
    start, target = (Gaussian(arrays[f"{name}_mean"], arrays[f"{name}_factor"]) for name in ("start", "target"))
    law = unpack(attributes["law"], arrays)
    time = float(attributes["time"])
    return Plan(
        start=start,
        target=target,
        law=law,
        motion=_motion(attributes["motion"], arrays, law, time),
        basis=Basis(attributes["basis"]),
        reachability=_reachability(attributes["reachability"]),
        notes=tuple(attributes["notes"]),
        details=attributes["details"],
        **{name: attributes[name] for name in _PLAIN},
    )


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data; see `Plan.to_dict`."""
    ts = sampled_depths(plan, JSON_NUMBERS)
    names = ("A", "B", "V", "b", "mean", "cov")
    ends = {
        name: {"mean": np.asarray(g.mean).tolist(), "cov": np.asarray(g.cov).tolist()}
        for name, g in (("start", plan.start), ("target", plan.target))
    }
    return {
        "schema_version": JSON_SCHEMA,
        "kind": KIND,
        **_head(plan),
        **ends,
        "energy": _plain(dataclasses.asdict(plan.energy)),
        "conditioning": _plain(plan.conditioning),
        "largest_control": _plain(plan.largest_control),
        "depth": ts.tolist(),
        **{name: _plain(array) for name, array in zip(names, _samples(plan, ts), strict=True)},
        "provenance": provenance(),
    }


def replay_dict(replay: Replay) -> dict[str, Any]:
    """What a `replay` found as JSON-able data."""
    end = None if replay.end is None else {"mean": _plain(replay.end.mean), "cov": _plain(replay.end.cov)}
    fields = {field.name: getattr(replay, field.name) for field in dataclasses.fields(replay)}
    return {name: _plain(value) for name, value in fields.items() if name != "end"} | {"end": end}


def sampled_depths(plan: Plan, numbers: int) -> np.ndarray:
    """Evenly spaced depths (n,) of [0, T] such that the controls there are at most about `numbers` numbers."""
    count = next((n for n in DEPTHS if 4 * n * plan.start.dim**2 <= numbers), 2)
    return np.linspace(0.0, plan.time, count)


class Again(Motion):
    """The motion that SciPy's DOP853 finds under `law`, integrated when it is asked for first.

    `origin` is the mean (d,), `begin` the factor (d, r) at depth 0, `time` the end. Raises BadInput when the
    integration does not arrive there.
    """

    def __init__(self, law: AbstractLaw, origin: np.ndarray, begin: np.ndarray, time: float) -> None:
        self._problem = (law, origin, begin, time)

    def mean(self, t: float) -> np.ndarray:
        """The mean (d,) at `t`."""
        return self._found.mean(t)

    def factor(self, t: float) -> np.ndarray:
        """The factor (d, r) at `t`."""
        return self._found.factor(t)

    @functools.cached_property
    def _found(self) -> Followed:
        found = follow(*self._problem)
        if found.motion is None:
            raise BadInput(
                f"the controls of this plan must lead to T = {self._problem[3]:g}: they could be followed up to t = "
                f"{found.time:g} only; look at `plan.controls`."
            )
        return found.motion


def _stored(plan: Plan) -> dict[str, Any]:
    """Law and motion as JSON with `arrays`; a law of an unknown kind as pieces, with a note that says so."""
    law, notes = plan.law, list(plan.notes)
    exact = is_storable(law)
    if not exact:
        notes.append(
            f"a law of the kind {type(law).__name__} cannot be stored: these are {PIECES} pieces of constant controls"
        )
        law = sampled(law, plan.time)
    packed = pack(law, "law")
    description, arrays = _described_motion(plan, follows=exact)
    return {
        "law": packed.description,
        "motion": description,
        "notes": notes,
        "arrays": [*packed.arrays.items(), *arrays.items()],
    }


def _described_motion(plan: Plan, *, follows: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    motion = plan.motion
    if follows and isinstance(motion, AlongPath) and is_storable(motion.path):
        arrays = {"motion_origin": motion.origin, "motion_velocity": motion.velocity}
        if getattr(plan.law, "path", None) is motion.path:
            return {"kind": "along the path of the law"}, arrays
        packed = pack(motion.path, "motion_path")
        return {"kind": "along a path", "path": packed.description}, arrays | packed.arrays
    return {"kind": "followed"}, {"motion_mean": motion.mean(0.0), "motion_factor": motion.factor(0.0)}


def _motion(description: dict[str, Any], arrays: Mapping[str, np.ndarray], law: AbstractLaw, time: float) -> Motion:
    match description["kind"]:
        case "along the path of the law":
            path = law.path  # type: ignore[attr-defined]
        case "along a path":
            path = unpack(description["path"], arrays)
        case _:
            return Again(law, arrays["motion_mean"], arrays["motion_factor"], time)
    return AlongPath(path, time, arrays["motion_origin"], arrays["motion_velocity"])


def _samples(plan: Plan, ts: np.ndarray) -> tuple[np.ndarray, ...]:
    """A, B, V, b, mean and covariance at the depths `ts`."""
    controls = [plan.law.controls(float(t)) for t in ts]
    factors = [plan.motion.factor(float(t)) for t in ts]
    means = np.array([plan.motion.mean(float(t)) for t in ts])
    stacked = [np.array([np.asarray(part) for part in column]) for column in zip(*controls, strict=True)]
    return (*stacked, means, np.array([factor @ factor.T for factor in factors]))


def _head(plan: Plan) -> dict[str, Any]:
    """All that is not an array."""
    return {
        "status": plan.status.value,
        "reason": plan.reason,
        "basis": plan.basis.value,
        **{name: getattr(plan, name) for name in _PLAIN},
        "mean_error": plan.mean_error,
        "cov_error": plan.cov_error,
        "worst_direction": plan.worst_direction,
        "reachability": dataclasses.asdict(plan.reachability),
        "notes": list(plan.notes),
        "details": _plain(plan.details),
    }


def _reachability(data: dict[str, Any]) -> Reachability:
    pairs = tuple(tuple(gap) for gap in data["gaps"])
    return Reachability(**{**data, "ranks": tuple(data["ranks"]), "gaps": pairs})


def _plain(value: Any) -> Any:
    """`value` as JSON has it: arrays as lists, objects by their fields, numbers that are not finite as null."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _plain(np.asarray(value).tolist()) if hasattr(value, "__array__") else str(value)
