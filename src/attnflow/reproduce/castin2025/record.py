"""What every target of this folder writes beside its picture: the data of all attention kinds, and the checks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from ..._atomic import replacing
from ...doors.ensemble import Ensemble
from ...files.provenance import provenance
from ...files.results import write_dataset
from ..check import Check, Reproduction


def files(stem: str) -> tuple[str, str, str]:
    """The names of picture, data and checks."""
    return f"{stem}.png", f"{stem}.nc", f"{stem}.json"


def trajectories(run: Ensemble, limits: np.ndarray, outcomes: Sequence[str], every: int = 1) -> xr.Dataset:
    """The covariances of `run` at `every`-th time, NaN where not reached, with their `limits` (n, d, d).

    `outcomes` (n,) says in a word how each ended. The times are a variable, since each attention has its own.
    """
    covs = np.where(run.reached[:, :, None, None], run.cov, np.nan)
    return xr.Dataset(
        {
            "time": ("step", run.ts[::every]),
            "cov": (("start", "step", "coord", "coord_"), covs[:, ::every]),
            "limit": (("start", "coord", "coord_"), limits),
            "outcome": ("start", np.asarray(outcomes, dtype=object)),
            "blow_up_time": ("start", run.blow_up),
        }
    )


def write(
    folder: Path,
    target: str,
    datasets: Mapping[str, xr.Dataset],
    checks: Sequence[Check],
    notes: Sequence[str],
) -> Reproduction:
    """Write data and checks of `target` into `folder`; `datasets` are joined along a dimension `attention`.

    `notes` say where the published description leaves a choice, and what was chosen.
    """
    picture, data, table = (folder / name for name in files(target.rpartition("/")[2]))
    attention = xr.DataArray(list(datasets), dims="attention", name="attention")
    joined: xr.Dataset = xr.concat(list(datasets.values()), dim=attention, data_vars="all", combine_attrs="drop")
    listed = [check.to_dict() for check in checks]
    joined.attrs = {"kind": "reproduction", "target": target, "notes": list(notes), "checks": listed}
    write_dataset(joined, data)
    report = {"target": target, "notes": list(notes), "checks": listed, "provenance": provenance()}
    with replacing(table) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return Reproduction(tuple(checks), datasets, (picture, data, table))
