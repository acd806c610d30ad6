"""The compilation cache: where it lies, and that a second process compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnflow.cli.cache import cache_folder, cache_in_use, enable_cache

COUNT = """
import sys, jax
misses = []
def note(event, **more):
    if event.endswith("cache_misses"):
        misses.append(event)
jax.monitoring.register_event_listener(note)
sys.argv = ["attnflow", "simulate", {problem!r}]
from attnflow.cli import main
try:
    main()
finally:
    print(len(misses), file=sys.stderr)
"""


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("ATTNFLOW_CACHE", raising=False)
    assert cache_folder() == Path("/somewhere/attnflow")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/attnflow")
    monkeypatch.setenv("ATTNFLOW_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def misses(problem: Path, folder: Path, **more: str) -> int:
    """Programs that a new process compiled."""
    environment = os.environ | {"ATTNFLOW_CACHE": str(folder)} | more
    code = COUNT.format(problem=str(problem))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


def test_a_second_process_compiles_nothing(problem, tmp_path):
    file, folder = problem(V="[[-1.0, 0.1], [0.2, -1.5]]"), tmp_path / "cache"
    assert misses(file, folder) > 0
    assert misses(file, folder) == 0


def test_a_folder_that_cannot_be_made_leaves_the_cache_off(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTNFLOW_CACHE", str(tmp_path / "file" / "cache"))
    assert enable_cache() is None
    assert cache_in_use() is None
