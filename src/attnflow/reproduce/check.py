"""A number held against its reference, and what a reproduction gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison: `error` is the distance of `value` to `reference`, absolute or relative to the reference.

    It is `ok` when the error is at most `tolerance`; an error that is not a number is not ok.
    """

    name: str
    value: Any
    reference: Any
    error: float
    tolerance: float
    relative: bool

    @property
    def ok(self) -> bool:
        """Whether the value agrees with its reference."""
        return self.error <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON-able data."""
        return {**dataclasses.asdict(self), "ok": self.ok}


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What a reproduction gave: its `checks`, one dataset a regime, and the `files` that it wrote."""

    checks: tuple[Check, ...]
    datasets: Mapping[str, xr.Dataset]
    files: tuple[Path, ...]

    @property
    def ok(self) -> bool:
        """Whether every check agrees."""
        return all(check.ok for check in self.checks)


def close(name: str, value: ArrayLike, reference: ArrayLike, *, rtol: float = 0.0, atol: float = 0.0) -> Check:
    """Whether the Euclidean (Frobenius) norm of `value - reference` is at most `rtol` times that of the reference.

    With `atol` instead of `rtol` the norm itself is compared.
    """
    found, wanted = np.asarray(value, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    size = np.linalg.norm(wanted.ravel()) if rtol else 1.0
    error = float(np.linalg.norm((found - wanted).ravel()) / size)
    return Check(name, found.tolist(), wanted.tolist(), error, rtol or atol, relative=bool(rtol))


def same(name: str, value: str | int, reference: str | int) -> Check:
    """Whether `value` equals `reference`: words and whole numbers."""
    return Check(name, value, reference, float(value != reference), 0.0, relative=False)
