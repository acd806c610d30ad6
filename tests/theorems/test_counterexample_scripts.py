"""The counterexamples of docs/theory/counterexamples: each a short script that needs SymPy and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "theory" / "counterexamples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
# the whole package is out of reach: the script runs by itself, and what it loaded is looked at afterwards
RUN = "import runpy, sys; runpy.run_path(sys.argv[1]); assert not {'attnflow', 'numpy'} & set(sys.modules)"


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", RUN, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_the_counterexamples_to_the_limits_of_section_4_are_there():
    assert {"c1", "c2", "c3", "c3b", "c4", "c4b", "c5", "t1", "t2", "t3", "t4", "t5"} <= {p.stem for p in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_proves_its_counterexample_with_sympy_alone(path: Path):
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refuted: ")
    assert len(path.read_text().splitlines()) < 80


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("c1", "[0, -3]", "[0, -1]"),  # V a multiple of the identity: the equilibrium is there
        ("c2", "[3, 3]", "[1, 3]"),
        ("c3", "[0, -8]", "[0, -2]"),
        ("c3b", "[3, 7]", "[3, 8]"),
        ("c4", "[0, -8]", "[0, -1]"),
        ("c5", "[[256, -15]", "[[256, 15]"),
        ("t4", "[0, -2]", "[0, 2]"),
    ],
)
def test_a_script_with_another_system_fails(name: str, old: str, new: str, tmp_path: Path):
    text = (FOLDER / f"{name}.py").read_text()
    assert old in text
    changed = tmp_path / f"{name}.py"
    changed.write_text(text.replace(old, new, 1))
    assert run(changed).returncode != 0
