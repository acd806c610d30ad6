"""Help is quick: nothing heavy is imported for it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

HEAVY = {"numpy", "jax", "scipy", "equinox", "diffrax", "xarray", "matplotlib", "torch"}
LOADED = """
import sys, json
from attnflow.cli.app import app
try:
    app({arguments})
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*arguments: str) -> set[str]:
    code = LOADED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_heavy():
    for arguments in (["--help"], ["simulate", "--help"], ["--version"], ["reproduce", "--list"]):
        assert not loaded_by(*arguments) & HEAVY


def test_help_takes_less_than_400_milliseconds():
    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "attnflow", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(spent() for _ in range(3)) < 0.4


def test_help_names_every_command(command):
    ended = command("--help")
    assert ended.code == 0
    for name in ("init", "simulate", "reproduce", "doctor"):
        assert name in ended.out


def test_every_option_of_simulate_is_explained_in_the_docs(command):
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    options = {word for word in command("simulate", "--help").out.split() if word.startswith("--")} - {"--help"}
    assert options
    assert not {option for option in options if f"`{option}" not in page}


def test_version(command):
    import attnflow

    ended = command("--version")
    assert ended.code == 0
    assert ended.out == f"attnflow {attnflow.__version__}\n"
