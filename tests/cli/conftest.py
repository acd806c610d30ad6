"""Commands in this process (quick) and in a process of their own (honest)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

PROBLEM = """
title = "A small problem"
[start]
mean = [1.0, 0.5]
cov = [[0.4, 0.2], [0.2, 0.3]]
[model.attention]
B = [[1.0, 0.25], [-0.5, 0.75]]
V = {V}
[model.feedforward]
A = [[0.5, 0.25], [0.125, -0.5]]
b = [0.1, -0.2]
[simulate]
{clock}
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def problem(tmp_path: Path) -> Callable[..., Path]:
    """Writes a problem file; `V` and the clock can be chosen."""

    def write(*, V: str = "-1.0", clock: str = "times = [0.0, 0.5, 2.0]", name: str = "problem.toml") -> Path:
        path = tmp_path / name
        path.write_text(PROBLEM.format(V=V, clock=clock))
        return path

    return write


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The whole command line in this process, without touching the compilation cache."""
    import attnflow.cli.app
    from attnflow.cli import main

    monkeypatch.setattr(attnflow.cli.app, "enable_cache", lambda: None)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["attnflow", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as leave:
            code = leave.code or 0
        return Ended(int(code), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment for commands in their own process: one compilation cache for all, not the user's.

    They are compiled as users have them, without the hurry of `tests/conftest.py`.
    """
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return plain | {"ATTNFLOW_CACHE": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "80"}


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Callable[..., Ended]:
    """`python -m attnflow ...` in a process of its own, in the folder of the test."""

    def run(*arguments: object, **more: object) -> Ended:
        line = [sys.executable, "-m", "attnflow", *map(str, arguments)]
        options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 100} | more
        done = subprocess.run(line, check=False, **options)
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
