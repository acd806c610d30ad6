"""A run as an xarray Dataset, as JSON, and back."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .._check import BadInput
from ..files.description import build, build_gaussian, describe_gaussian
from ..files.results import read_dataset
from ..flow.gaussian import Stretch
from ..flow.leg import Options
from ..flow.outcome import Basis, BlowUp, Status
from ..measures.tokens import Tokens
from .run import Run
from .token_run import TokenRun

if TYPE_CHECKING:
    from .diagnosis.diagnosis import Diagnosis
    from .steering.plan import Plan

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


def token_dataset(run: TokenRun) -> xr.Dataset:
    """The labelled dataset of a run of tokens; see `TokenRun.to_dataset`."""
    arrays = {
        "tokens": (("time", "token", "coord"), run.tokens, {"long_name": "tokens"}),
        "start": (
            ("token", "coord"),
            np.asarray(run.start.points),
            {"long_name": "tokens at time 0"},
        ),
        "mean": (("time", "coord"), run.mean, {"long_name": "mean of the tokens"}),
        "cov": (("time", "coord", "coord_"), run.cov, {"long_name": "covariance of the tokens (divides by n)"}),
        "reached": (("request",), run.reached, {"long_name": "whether the requested time was reached"}),
    }
    coordinates = {"time": run.ts, "request": run.requested}
    attributes = {"kind": "token run", **_token_head(run), "model": run.description}
    attributes |= {"options": dataclasses.asdict(run.options)}
    return xr.Dataset(arrays, coordinates, {name: json.dumps(value) for name, value in attributes.items()})


def token_dict(run: TokenRun) -> dict[str, Any]:
    """The run as JSON-able data; see `TokenRun.to_dict`."""
    listed = {name: getattr(run, name).tolist() for name in ("ts", "mean", "cov", "requested", "reached")}
    return {"schema_version": JSON_SCHEMA, **_token_head(run), "n": run.start.size, **listed}


def load(path: str | os.PathLike[str]) -> Run | TokenRun | Plan | Diagnosis:
    """The run, plan or diagnosis in the NetCDF file `path` that its `save` wrote.

    A model that is a function of depth cannot be restored for a run: `model` is then None and `at` answers at stored
    times only. A plan comes back with its exact controls.

    Raises BadInput when `path` is missing or not such a file.
    """
    dataset = read_dataset(path)
    attributes = {str(name): _decoded(value) for name, value in dataset.attrs.items()}
    kind = attributes.get("kind")
    if kind == "plan":
        from .steering.dataset import from_dataset

        return from_dataset(dataset, attributes)
    if kind == "diagnosis":
        from .diagnosis.loading import from_dataset as diagnosis_from

        return diagnosis_from(dataset, attributes)
    if kind not in ("gaussian run", "token run"):
        raise BadInput(
            f"`{path}` must hold a run, a plan or a diagnosis: a {kind} was found; open it with "
            "xarray.open_dataset instead."
        )
    return _run(dataset, attributes, tokens=kind == "token run")


def _run(dataset: xr.Dataset, attributes: dict[str, Any], *, tokens: bool) -> Run | TokenRun:
    blow_up = attributes["blow_up"]
    shared = {
        "status": Status(attributes["status"]),
        "ts": dataset["time"].to_numpy(),
        "requested": dataset["request"].to_numpy(),
        "reached": dataset["reached"].to_numpy().astype(bool),
        "blow_up": None if blow_up is None else BlowUp(**{**blow_up, "basis": Basis(blow_up["basis"])}),
        "notes": tuple(attributes["notes"]),
        "model": build(attributes["model"]),
        "description": attributes["model"],
        "options": Options(**attributes["options"]),
    }
    if tokens:
        start = Tokens(dataset["start"].to_numpy())
        plain = {name: attributes[name] for name in _TOKEN_PLAIN}
        return TokenRun(tokens=dataset["tokens"].to_numpy(), start=start, **shared, **plain)
    return Run(
        mean=dataset["mean"].to_numpy(),
        factor=dataset["factor"].to_numpy(),
        stretches=tuple(Stretch(**s) for s in attributes["stretches"]),
        start=build_gaussian(attributes["start"]),
        **shared,
        **{name: attributes[name] for name in _PLAIN},
    )


_TOKEN_PLAIN = ("until", "statements", "accepted", "evaluations", "seed", "provenance")
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


def _token_head(run: TokenRun) -> dict[str, Any]:
    return {
        "status": run.status.value,
        "blow_up": None if run.blow_up is None else dataclasses.asdict(run.blow_up),
        "notes": list(run.notes),
        **{name: getattr(run, name) for name in _TOKEN_PLAIN},
    }


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else np.asarray(value).item()
