"""Results on disk: an xarray Dataset in a NetCDF file, written whole or not at all."""

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import xarray as xr

from .._atomic import check_writable, replacing
from .._check import BadInput

SCHEMA = 1
"""Version of the layout of a result file; it grows when a reader of the older layout would be misled."""

SCHEMA_ATTRIBUTE = "attnflow_schema"

__all__ = ["SCHEMA", "check_writable", "read_dataset", "write_dataset"]


def write_dataset(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write `dataset` to the NetCDF4 file `path` (through h5netcdf) and stamp it with the schema version.

    Attributes that are dicts, lists, booleans or None are stored as JSON text. `dataset` itself is not
    changed. The file appears at once: an interrupt leaves neither a part of it nor a harmed older one.

    Raises BadInput when the folder is missing or cannot be written.
    """
    stored = dataset.copy()
    stored.attrs = _storable(dataset.attrs) | {SCHEMA_ATTRIBUTE: SCHEMA}
    for name, variable in dataset.variables.items():
        stored[name].attrs = _storable(variable.attrs)
    with replacing(path) as partial:
        stored.to_netcdf(partial, engine="h5netcdf")


def read_dataset(path: str | os.PathLike[str]) -> xr.Dataset:
    """The Dataset in the result file `path`, in memory; the file is closed again. JSON texts stay texts.

    Raises BadInput when the file is missing, is not NetCDF4, was not written by attnflow, or was written in a
    layout newer than `SCHEMA`.
    """
    if not Path(path).is_file():
        raise BadInput(f"`{path}` must be a result file: there is no such file; check the path.")
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(
            f"`{path}` must be a NetCDF4 file written by attnflow: it cannot be read ({_first_line(error)}); "
            "it may be damaged or of another kind."
        ) from error
    _require_schema(path, dataset.attrs.get(SCHEMA_ATTRIBUTE))
    return dataset


def _storable(attrs: dict[Hashable, Any]) -> dict[str, Any]:
    return {str(name): _as_attribute(value) for name, value in attrs.items()}


def _as_attribute(value: Any) -> Any:
    if value is None or isinstance(value, dict | list | tuple | bool):
        return json.dumps(value)
    return value


def _require_schema(path: str | os.PathLike[str], found: Any) -> None:
    if found is None:
        raise BadInput(
            f"`{path}` must be a result of attnflow: its attribute `{SCHEMA_ATTRIBUTE}` is missing; "
            "open it with xarray.open_dataset instead."
        )
    if int(found) > SCHEMA:
        raise BadInput(
            f"`{path}` has layout {int(found)}: this version of attnflow reads up to {SCHEMA}; upgrade attnflow."
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
