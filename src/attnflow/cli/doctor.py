"""`attnflow doctor`: is this installation fit for use?"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from .._atomic import check_writable
from .._check import BadInput
from ..doors.simulate import simulate
from ..files.provenance import provenance
from ..measures.gaussian import Gaussian
from ..transformer.block import Transformer
from ..transformer.feedforward import Affine
from ..transformer.softmax import SoftmaxAttention
from .cache import cache_folder, cache_in_use
from .codes import ExitCode
from .output import emit_json, emit_tables, facts, say

if TYPE_CHECKING:
    from rich.table import Table

JSON_SCHEMA = 1
OPTIONAL = ("torch", "transformers")
AGREEMENT = 1e-10


def doctor(*, json: bool) -> ExitCode:
    """Print versions, devices, the result of a self-check in double precision, caches and folders."""
    precise, place = precision(), temporary_folder()
    ok = precise["ok"] and place["writable"]
    report: dict[str, Any] = {
        "schema_version": JSON_SCHEMA,
        "versions": provenance(),
        "optional": {name: _version(name) for name in OPTIONAL},
        "devices": [str(device) for device in jax.devices()],
        "precision": precise,
        "cache": cache_state(),
        "temporary_folder": place,
        "ok": ok,
    }
    if json:
        emit_json(report)
    else:
        emit_tables(_table(report))
    if not ok:
        say("something is wrong: see the lines above")
    return ExitCode.DONE if ok else ExitCode.DIFFERS


def precision() -> dict[str, Any]:
    """Whether the closed form and the factor equation agree in double precision, whatever JAX's global setting is.

    Source: this package, docs/cli.md.
    """
    attention = SoftmaxAttention(B=np.array([[0.7, -0.4], [0.2, 0.5]]), V=-0.8)
    model = Transformer(attention, Affine(A=np.array([[0.3, 0.6], [-0.5, 0.1]]), b=np.array([0.2, -0.1])))
    start = Gaussian.from_moments(np.array([0.5, -1.0]), np.array([[0.9, 0.3], [0.3, 0.4]]))
    closed = simulate(model, start, 1.0, rtol=1e-12)
    integrated = simulate(model, start, 1.0, rtol=1e-12, engine="factor_ode")
    difference = float(np.linalg.norm(closed.cov - integrated.cov) / np.linalg.norm(closed.cov))
    double = closed.cov.dtype == np.float64
    return {
        "engines": [closed.engine, integrated.engine],
        "dtype": str(closed.cov.dtype),
        "global_dtype": str(jnp.zeros(0).dtype),
        "difference": difference,
        "tolerance": AGREEMENT,
        "ok": bool(double and difference <= AGREEMENT),
    }


def cache_state() -> dict[str, Any]:
    """The folder of the compilation cache that is in use, and what lies in it."""
    used = cache_in_use()
    folder = used or cache_folder()
    files = [file for file in folder.glob("**/*") if file.is_file()] if folder.is_dir() else []
    size = sum(file.stat().st_size for file in files)
    return {"folder": str(folder), "in_use": bool(used), "files": len(files), "bytes": size}


def temporary_folder() -> dict[str, Any]:
    """Where temporary files go, and whether they can."""
    try:
        folder = tempfile.gettempdir()
        check_writable(os.path.join(folder, "attnflow"))  # noqa: PTH118
    except (BadInput, OSError):
        return {"folder": None, "writable": False}
    return {"folder": folder, "writable": True}


def _version(package: str) -> str | None:
    """Without importing it, which may take seconds."""
    return metadata.version(package) if importlib.util.find_spec(package) else None


def _table(report: dict[str, Any]) -> Table:
    precise, cache, place = report["precision"], report["cache"], report["temporary_folder"]
    optional = (f"{name} {version or 'not installed'}" for name, version in report["optional"].items())
    return facts(
        {
            "versions": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
            "optional": ", ".join(optional),
            "devices": ", ".join(report["devices"]),
            "precision": f"{_verdict(precise['ok'])}: {' and '.join(precise['engines'])} agree to "
            f"{precise['difference']:.1e} in {precise['dtype']}; JAX's global default is {precise['global_dtype']}",
            "cache": f"{cache['folder']}: {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB"
            + ("" if cache["in_use"] else "; not in use, it cannot be written"),
            "temporary": f"{_verdict(place['writable'])}: {place['folder'] or 'no folder can be written; set TMPDIR'}",
        }
    )


def _verdict(ok: bool) -> str:
    return "ok" if ok else "WRONG"
