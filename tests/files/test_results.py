import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from attnflow._check import BadInput
from attnflow.files.provenance import provenance
from attnflow.files.results import SCHEMA, check_writable, read_dataset, write_dataset


@pytest.fixture
def dataset(rng):
    return xr.Dataset(
        {
            "mean": (("time", "coord"), rng.normal(size=(3, 2)), {"statement": {"basis": "theorem"}}),
            "factor": (("time", "coord", "column"), rng.normal(size=(3, 2, 1)) * 1e-300),
            "numerical_rank": ("time", np.array([1, 1, 0])),
            "reached": ("request", np.array([True, True, True, False])),
        },
        coords={"time": [0.0, 0.1, 1 / 3], "request": [0.0, 0.1, 1 / 3, 2.0]},
        attrs={"status": "blow_up", "notes": ["one", "zwei é"], "problem": {"a": 1.5, "b": None}, "exact": True},
    )


def test_numbers_names_and_attributes_come_back(dataset, tmp_path):
    before = dataset.copy(deep=True)
    write_dataset(dataset, tmp_path / "run.nc")
    again = read_dataset(tmp_path / "run.nc")
    xr.testing.assert_equal(again, dataset)
    for name in dataset.variables:
        assert again[name].dtype == dataset[name].dtype
    assert again.attrs["status"] == "blow_up"
    assert json.loads(again.attrs["notes"]) == ["one", "zwei é"]
    assert json.loads(again.attrs["problem"]) == {"a": 1.5, "b": None}
    assert json.loads(again.attrs["exact"]) is True
    assert json.loads(again["mean"].attrs["statement"]) == {"basis": "theorem"}
    xr.testing.assert_identical(dataset, before)


@pytest.mark.parametrize("empty", ["column", "time", "request"])
def test_an_axis_without_entries_survives(dataset, tmp_path, empty):
    cut = dataset.isel({empty: slice(0)})
    write_dataset(cut, tmp_path / "run.nc")
    assert dict(read_dataset(tmp_path / "run.nc").sizes) == dict(cut.sizes)


def test_the_file_is_closed_after_reading_and_holds_plain_netcdf(dataset, tmp_path):
    write_dataset(dataset, tmp_path / "run.nc")
    read_dataset(tmp_path / "run.nc")
    with h5py.File(tmp_path / "run.nc", "r+") as file:
        np.testing.assert_array_equal(file["mean"][:], dataset["mean"].values)
        assert file.attrs["attnflow_schema"] == SCHEMA


def test_an_older_result_is_replaced_and_readable_by_others(dataset, tmp_path):
    path = tmp_path / "run.nc"
    path.write_text("older")
    path.chmod(0o644)
    write_dataset(dataset, str(path))
    assert read_dataset(str(path)).sizes["time"] == 3
    assert path.stat().st_mode & 0o444 == 0o444
    assert [file.name for file in tmp_path.iterdir()] == ["run.nc"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupt_leaves_the_older_file_and_nothing_else(dataset, tmp_path, monkeypatch, error):
    path = tmp_path / "run.nc"
    path.write_text("older")

    def stop(self, target, **_):
        Path(target).write_bytes(b"half")
        raise error

    monkeypatch.setattr(xr.Dataset, "to_netcdf", stop)
    with pytest.raises(error):
        write_dataset(dataset, path)
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["run.nc"]


def test_a_place_that_cannot_be_written_is_named_before_anything_is_computed(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    for path, found in (
        (tmp_path / "nowhere" / "run.nc", "does not exist"),
        (tmp_path / "file" / "run.nc", "does not exist"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(BadInput, match=found):
            check_writable(path)
        with pytest.raises(BadInput, match=found):
            write_dataset(dataset, path)
    assert check_writable(tmp_path / "run.nc") is None
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(BadInput, match=r"run\.nc.*Permission denied"):
        check_writable(tmp_path / "run.nc")


def test_files_that_are_no_results_are_refused(dataset, tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_dataset(tmp_path / "run.nc")
    (tmp_path / "text.nc").write_text("mean: 1")
    with pytest.raises(BadInput, match="NetCDF4"):
        read_dataset(tmp_path / "text.nc")
    xr.Dataset({"x": ("a", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(BadInput, match="attnflow_schema"):
        read_dataset(tmp_path / "other.nc")


def test_a_newer_layout_and_a_cut_file_are_refused(dataset, tmp_path):
    path = tmp_path / "run.nc"
    write_dataset(dataset, path)
    whole = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file.attrs["attnflow_schema"] = SCHEMA + 1
    with pytest.raises(BadInput, match="upgrade"):
        read_dataset(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="NetCDF4"):
        read_dataset(path)


def test_provenance_holds_the_versions_that_the_modules_report_and_the_time():
    import diffrax
    import scipy

    found = provenance()
    assert (found["numpy"], found["scipy"], found["diffrax"]) == (
        np.__version__,
        scipy.__version__,
        diffrax.__version__,
    )
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found["created"])).total_seconds()) < 60
    assert json.loads(json.dumps(found)) == found


def test_provenance_imports_none_of_the_packages_that_it_names():
    code = (
        "import sys; from attnflow.files.provenance import provenance; before = set(sys.modules); provenance();"
        "new = set(sys.modules) - before; sys.exit(any(n.split('.')[0] in ('diffrax', 'scipy') for n in new))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
