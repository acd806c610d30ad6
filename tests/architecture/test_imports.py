"""What an import loads, each measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "attnflow"
TORCH_ROOMS = {"networks"}


def rooms() -> list[str]:
    folders = (path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    files = (path.stem for path in PACKAGE.glob("_[a-z]*.py"))
    return sorted(f"attnflow.{name}" for name in {*folders, *files} - TORCH_ROOMS)


def loaded_by(module: str) -> set[str]:
    """The top-level packages that stand in sys.modules after `import module`."""
    code = f"import sys, json, {module}; print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"jax", "numpy", "scipy", "torch", "matplotlib", "xarray", "diffrax", "equinox", "pydantic"}
    assert not loaded_by("attnflow") & heavy


def test_importing_the_doors_loads_neither_matplotlib_nor_torch():
    assert not loaded_by("attnflow.doors") & {"matplotlib", "torch"}


@pytest.mark.parametrize("room", rooms())
def test_importing_a_room_loads_no_torch(room: str):
    assert not loaded_by(room) & {"torch", "transformers"}
