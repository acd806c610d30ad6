"""How long a user waits: import, help, a first simulation with an empty and with a warm compilation cache."""

from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from .report import Row

_OURS = ("EQX_ON_ERROR", "JAX_ENABLE_X64", "XLA_FLAGS")  # settings of the other benchmarks


def _wall(command: list[str], environment: dict[str, str], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def rows(*, quick: bool = False) -> list[Row]:
    repeats = 3 if quick else 7
    command = [str(pathlib.Path(sys.executable).parent / "attnflow")]
    bare = _wall([sys.executable, "-c", "pass"], dict(os.environ), repeats)
    imported = _wall([sys.executable, "-c", "import attnflow"], dict(os.environ), repeats)
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        environment["ATTNFLOW_CACHE"] = folder
        problem = str(pathlib.Path(folder) / "problem.toml")
        subprocess.run([*command, "init", problem], check=True, capture_output=True, env=environment)
        run = [*command, "simulate", problem, "--json"]
        cold = _wall(run, environment, 1)
        warm = _wall(run, environment, repeats)
        help_ = _wall([*command, "--help"], environment, repeats)
    return [
        Row("import attnflow, beyond a bare Python (s)", imported - bare, 0.2, False),
        Row("attnflow --help (s)", help_, 0.4, False),
        Row("first simulate of a 2-D problem, cold cache (s)", cold, 4.0, False),
        Row("the same, warm cache (s)", warm, 1.5, False),
    ]
