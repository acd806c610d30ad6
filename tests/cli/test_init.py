from __future__ import annotations

import json

from attnflow.files.problem import read_problem


def test_init_writes_a_problem_that_simulate_reads(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command("init")
    assert ended.code == 0
    assert ended.out == ""
    assert "attnflow simulate problem.toml" in ended.err
    assert read_problem("problem.toml").start.dim == 2
    assert json.loads(command("simulate", "problem.toml", "--times", "0,100", "--json").out)["status"] == "reached_end"


def test_init_overwrites_only_when_told(command, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    ended = command("init", file)
    assert ended.code == 3
    assert "--force" in ended.err
    assert file.read_text() == "mine"
    assert command("init", file, "--force").code == 0
    assert "[start]" in file.read_text()


def test_init_into_a_missing_folder_is_bad_input(command, tmp_path):
    ended = command("init", tmp_path / "missing" / "problem.toml")
    assert ended.code == 3
    assert "does not exist" in ended.err
