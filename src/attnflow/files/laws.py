"""Control laws as JSON beside named arrays: what is data comes back to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import numpy as np

from .._check import BadInput
from ..reachability.constrained.least_energy import Winding
from ..reachability.law import AbstractLaw, Constant, Controls, Following, Steps
from ..reachability.paths import AbstractPath, Exponential, Geodesic, TurnAndStretch
from ..reachability.planes import Planes

Json: TypeAlias = dict[str, Any]
Storable: TypeAlias = AbstractLaw | AbstractPath

PIECES = 256
"""A law of an unknown kind is stored as so many pieces of constant controls."""

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Following, Constant, Steps, TurnAndStretch, Exponential, Geodesic, Winding, Planes, Controls)
}


class Packed(NamedTuple):
    """A `description` that is JSON, and the `arrays` that it names."""

    description: Json
    arrays: dict[str, np.ndarray]


def is_storable(value: Any) -> bool:
    """Whether `value`, a law or a path, and all its parts are of a kind that `pack` knows."""
    if isinstance(value, (np.ndarray, jax.Array, bool, int, float, str)) or value is None:
        return True
    return type(value).__name__ in _KINDS and all(is_storable(part) for part in _parts(value).values())


def pack(value: Storable, name: str) -> Packed:
    """`value`, a law or a path for which `is_storable` holds; its arrays are named after `name`."""
    arrays: dict[str, np.ndarray] = {}
    return Packed(_described(value, name, arrays), arrays)


def unpack(description: Json, arrays: Mapping[str, np.ndarray]) -> Any:
    """The law or path that `pack` stored as `description` and `arrays`.

    Raises BadInput when it is of a kind that this version does not know.
    """
    kind = _KINDS.get(description["kind"])
    if kind is None:
        raise BadInput(
            f"the controls in this file must be of a known kind: {description['kind']} was found; upgrade attnflow."
        )
    return kind(**{name: _restored(value, arrays) for name, value in description.items() if name != "kind"})


def sampled(law: AbstractLaw, time: float) -> Steps:
    """`law` on [0, `time`] as `PIECES` pieces of constant controls, those at their midpoints."""
    edges = np.linspace(0.0, time, PIECES + 1)
    rows = [law.controls(float(t)) for t in 0.5 * (edges[1:] + edges[:-1])]
    return Steps(edges, Controls(*(np.array(part) for part in zip(*rows, strict=True))))


def _parts(value: Any) -> dict[str, Any]:
    if isinstance(value, eqx.Module):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(value._asdict())


def _described(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (np.ndarray, jax.Array)):
        arrays[name] = np.asarray(value)
        return {"array": name}
    parts = _parts(value)
    return {"kind": type(value).__name__} | {k: _described(part, f"{name}_{k}", arrays) for k, part in parts.items()}


def _restored(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    return np.asarray(arrays[value["array"]]) if "array" in value else unpack(value, arrays)
