"""`attnflow reproduce`: the command; the numbers are tested in tests/reproduce."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnflow.reproduce.check import Reproduction, close, same


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Replaces the computation by these checks."""
    import attnflow.cli.reproduce as room

    def give(*checks):
        made = Reproduction(checks, {}, (tmp_path / "fig1.png",))
        monkeypatch.setattr(room, "run", lambda target, folder, probe: made)

    return give


def test_the_list_names_every_target(command):
    for arguments in (["--list"], []):
        ended = command("reproduce", *arguments)
        assert ended.code == 0
        assert "alcalde2026/fig1" in ended.out
    listed = json.loads(command("reproduce", "--list", "--json").out)
    published = ("zero", "line", "mixed", "divergence", "both", "histograms")
    names = [
        "alcalde2026/fig1",
        "alcalde2026/table1",
        "alcalde2026/prop23",
        *(f"alcalde2026/fig{number}" for number in (2, 3, 4)),
        *(f"castin2025/{name}" for name in published),
    ]
    assert [target["name"] for target in listed["targets"]] == names


def test_agreement_exits_with_0(command, result):
    result(close("a", 1.0 + 1e-12, 1.0, rtol=1e-10), same("rank", 1, 1))
    ended = command("reproduce", "alcalde2026/fig1")
    assert ended.code == 0
    assert "2 of 2 checks agree" in ended.err
    assert "DIFFERS" not in ended.out


def test_a_difference_exits_with_10_and_is_named(command, result):
    result(close("a", [[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [2.5, 1.0]], rtol=1e-3), same("rank", 1, 1))
    ended = command("reproduce", "alcalde2026/fig1")
    assert ended.code == 10
    assert "1 of 2 checks agree" in ended.err
    assert "DIFFERS" in ended.out
    report = json.loads(command("reproduce", "alcalde2026/fig1", "--json").out)
    assert not report["ok"]
    assert [check["ok"] for check in report["checks"]] == [False, True]


def test_a_number_that_is_not_one_differs(command, result):
    result(close("a", float("nan"), 1.0, atol=1.0))
    assert command("reproduce", "alcalde2026/fig1").code == 10


def test_an_unknown_target_is_bad_input(command):
    ended = command("reproduce", "alcalde2026/fig7")
    assert ended.code == 3
    assert "alcalde2026/fig1" in ended.err


def test_a_folder_that_cannot_be_made_is_bad_input_before_the_computation(command, tmp_path, monkeypatch):
    import attnflow.reproduce.alcalde2026.fig1 as figure

    monkeypatch.setattr(figure, "reproduce", lambda folder: pytest.fail("something was computed"))
    (tmp_path / "file").write_text("")
    assert command("reproduce", "alcalde2026/fig1", "--out-dir", tmp_path / "file").code == 3
    assert command("reproduce", "alcalde2026/fig1", "--out-dir", tmp_path / "file" / "deeper").code == 3
    (tmp_path / "fig1.nc").mkdir()
    assert command("reproduce", "alcalde2026/fig1", "--out-dir", tmp_path).code == 3
