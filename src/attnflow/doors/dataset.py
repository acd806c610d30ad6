"""A run as an xarray Dataset, as JSON, and back."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np
import xarray as xr

from ..files.description import build, build_gaussian, describe_gaussian
from ..files.results import read_dataset
from ..flow.gaussian import Stretch
from ..flow.leg import Options
from ..flow.outcome import Basis, BlowUp, Status
from .run import Run

JSON_SCHEMA = 1


def to_dataset(run: Run) -> xr.Dataset:
    """The labelled dataset of a run; see `Run.to_dataset`."""
    moments = {
        "mean": (("time", "coord"), run.mean, {"long_name": "mean of the Gaussian"}),
        "cov": (("time", "coord", "coord_"), run.cov, {"long_name": "covariance of the Gaussian"}),
        "factor": (("time", "coord", "column"), run.factor, {"long_name": "factor L of the covariance L L^T"}),
        "numerical_rank": (("time",), run.numerical_rank, {"long_name": "eigenvalues above d eps of the largest"}),
        "reached": (("request",), run.reached, {"long_name": "whether the requested time was reached"}),
    }
    coordinates = {"time": run.ts, "request": run.requested}
    attributes = {"kind": "gaussian run", **_head(run), "model": run.description}
    attributes |= {"start": describe_gaussian(run.start), "options": dataclasses.asdict(run.options)}
    return xr.Dataset(moments, coordinates, {name: json.dumps(value) for name, value in attributes.items()})


def to_dict(run: Run) -> dict[str, Any]:
    """The run as JSON-able data; see `Run.to_dict`."""
    arrays = ("ts", "mean", "cov", "requested", "reached", "numerical_rank")
    listed = {name: getattr(run, name).tolist() for name in arrays}
    return {"schema_version": JSON_SCHEMA, **_head(run), "rank": run.rank, **listed}


def load(path: str | os.PathLike[str]) -> Run:
    """The run in a NetCDF file that `Run.save` wrote.

    A model that is a function of depth cannot be restored: `Run.model` is then None and `Run.at` answers at stored
    times only. Raises BadInput when `path` is missing or not such a file.
    """
    dataset = read_dataset(path)
    attributes = {name: _decoded(value) for name, value in dataset.attrs.items()}
    blow_up, stretches = attributes["blow_up"], attributes["stretches"]
    return Run(
        status=Status(attributes["status"]),
        ts=dataset["time"].to_numpy(),
        mean=dataset["mean"].to_numpy(),
        factor=dataset["factor"].to_numpy(),
        requested=dataset["request"].to_numpy(),
        reached=dataset["reached"].to_numpy().astype(bool),
        blow_up=None if blow_up is None else BlowUp(**{**blow_up, "basis": Basis(blow_up["basis"])}),
        stretches=tuple(Stretch(**s) for s in stretches),
        notes=tuple(attributes["notes"]),
        model=build(attributes["model"]),
        description=attributes["model"],
        start=build_gaussian(attributes["start"]),
        options=Options(**attributes["options"]),
        **{name: attributes[name] for name in _PLAIN},
    )


_PLAIN = ("until", "engine", "mean_engine", "exact", "statements", "accepted", "rejected", "seed", "provenance")


def _head(run: Run) -> dict[str, Any]:
    """All that is not an array."""
    return {
        "status": run.status.value,
        "blow_up": None if run.blow_up is None else dataclasses.asdict(run.blow_up),
        "stretches": [dataclasses.asdict(s) for s in run.stretches],
        "notes": list(run.notes),
        **{name: getattr(run, name) for name in _PLAIN},
    }


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else np.asarray(value).item()
