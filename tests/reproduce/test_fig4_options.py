"""The options of `attnflow reproduce` for targets that look at a network."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from attnflow.reproduce import registry
from attnflow.reproduce.check import Reproduction, same
from attnflow.reproduce.probe import Probe


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    import attnflow.cli.app
    from attnflow.cli import main

    monkeypatch.setattr(attnflow.cli.app, "enable_cache", lambda: None)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["attnflow", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as leave:
            code = leave.code or 0
        return int(code), capsys.readouterr().err

    return run


def test_a_target_without_a_network_refuses_the_options(command, tmp_path):
    for option, value in (
        ("--model", "x"),
        ("--random-init", "bert"),
        ("--tokens", 9),
        ("--batches", 2),
        ("--seed", 0),
    ):
        code, said = command("reproduce", "alcalde2026/fig1", option, value, "--out-dir", tmp_path / "out")
        assert code == 3
        assert option.removeprefix("--").replace("-", "_") in said
        assert "alcalde2026/fig4" in said
    assert not (tmp_path / "out").exists()


def test_what_is_asked_for_reaches_the_target_and_an_interrupt_ends_with_130(command, tmp_path, monkeypatch):
    from attnflow.reproduce.alcalde2026 import fig2

    asked = []

    def reproduce(folder, probe):
        asked.append(probe)
        if probe.seed == 7:
            raise KeyboardInterrupt
        return Reproduction((same("x", 1, 1),), {}, ())

    monkeypatch.setattr(fig2, "reproduce", reproduce)
    line = ("reproduce", "alcalde2026/fig2", "--out-dir", tmp_path, "--tokens", "99", "--batches", "3")
    assert command(*line, "--model", "a/b")[0] == 0
    assert command(*line, "--random-init", "bert", "--seed", "7")[0] == 130
    assert asked == [
        Probe(model="a/b", batches=3, tokens=99),
        Probe(random_init="bert", batches=3, tokens=99, seed=7),
    ]
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there_is_one_line(command, tmp_path):
    pytest.importorskip("transformers")
    code, said = command("reproduce", "alcalde2026/fig2", "--model", tmp_path / "none", "--out-dir", tmp_path)
    assert code == 3
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_exactly_the_figures_of_networks_take_one():
    names = {target.name for target in registry.TARGETS if target.takes_model}
    assert names == {"alcalde2026/fig2", "alcalde2026/fig3", "alcalde2026/fig4"}
