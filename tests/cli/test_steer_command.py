"""`attnflow steer` on the command line."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import attnflow as af


@pytest.fixture
def examples(command, tmp_path):
    """The files that `attnflow init --steer` writes: arguments for one pair of them."""
    assert command("init", tmp_path / "steering", "--steer").code == 0

    def arguments(name):
        return (
            "steer",
            "--from",
            tmp_path / f"steering/{name}-from.toml",
            "--to",
            tmp_path / f"steering/{name}-to.toml",
        )

    return arguments


@pytest.mark.parametrize(
    ("name", "method"), [("full", "paper"), ("full", "mccann"), ("line", "rotation"), ("line", "constant")]
)
def test_every_method_reaches_the_examples(command, examples, name, method):
    ended = command(*examples(name), "--method", method, "--time", "2", "--json", "--strict")
    found = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert (found["status"], found["time"]) == ("reached", 2.0)
    assert found["replay"]["complete"]
    assert max(found["replay"]["mean_error"], found["replay"]["cov_error"]) < 1e-9
    np.testing.assert_allclose(found["replay"]["end"]["cov"], found["target"]["cov"], atol=1e-8)
    assert len(found["comparison"]) == 4
    assert found["comparison"][0]["chosen"]


def test_tables_go_to_stdout_and_the_choice_in_words_to_stderr(command, examples):
    ended = command(*examples("full"))
    assert ended.code == 0
    assert "Rotation (chosen)" in ended.out
    assert "replay" in ended.out
    assert "McCann has the least kinetic energy" in ended.err
    assert "network" not in ended.out


def test_plan_network_and_picture_are_written(command, examples, tmp_path):
    files = {name: tmp_path / name for name in ("plan.nc", "plan.safetensors", "plan.png")}
    ended = command(
        *examples("line"), "--out", files["plan.nc"], "--export", files["plan.safetensors"], "--layers", "12",
        "--scheme", "euler", "--plot", files["plan.png"], "--seed", "3", "--json",
    )  # fmt: skip
    found = json.loads(ended.out)
    assert ended.code == 0
    assert [f"wrote {file}" in ended.err for file in files.values()] == [True] * 3
    plan = af.load(files["plan.nc"])
    assert plan.status == "reached"
    assert plan.replay(tokens=0).cov_error < 1e-9
    assert (found["network"]["layers"], found["network"]["scheme"]) == (12, "euler")
    from safetensors.numpy import load_file

    weights = load_file(files["plan.safetensors"])
    assert weights["V"].shape == (12, 2, 2)
    np.testing.assert_allclose(weights["V"][0], plan.controls(0.0).V / 12, rtol=1e-12)
    assert found["replay"]["tokens"]["seed"] == 3
    with Image.open(files["plan.png"]) as image:
        assert min(image.size) > 900


@pytest.fixture
def other(tmp_path):
    def write(text, name="other.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_an_unreachable_target_is_one_line_with_the_reason(command, examples, other):
    ended = command(*examples("full")[:3], "--to", other("mean = [0, 0]\nfactor = [1, 1]"), "--plot", "x.png")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.count("\n") == 1
    assert "the start has rank 2, the target rank 1" in ended.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--time", "0"), "`time` must be positive"),
        (("--method", "euler"), "`--method` must be one of rotation, constant, mccann, paper"),
        (("--constrain", "cheap"), "`--constrain` must be one of attention-only, time-invariant, least-energy"),
        (("--constrain", "attention-only"), "needs the feed-forward matrix A"),
        (("--constrain", "least-energy", "--method", "mccann"), "exclude each other"),
        (("--with", "{fixed}"), "`--with` belongs to a constraint"),
        (("--budget", "3"), "`--budget` belongs to a constraint"),
        (("--constrain", "least-energy", "--with", "{fixed}"), "`A` cannot be fixed by"),
        (("--scheme", "euler"), "`--scheme` belongs to a compiled plan"),
        (("--layers", "4", "--scheme", "heun"), "`--scheme` must be one of exponential, euler"),
        (("--layers", "0"), "`--layers` must be at least 1"),
        (("--rtol", "2"), "`rtol` must be"),
        (("--out", "plan.json"), "`--out` must end in .nc"),
        (("--export", "plan.pt"), "`--export` must end in .safetensors"),
        (("--plot", "/nowhere/x.png"), "/nowhere"),
        (("--to", "{fixed}"), "fixed.toml"),
        (("--to", "none.toml"), "there is no such file"),
    ],
)
def test_bad_arguments_end_with_3_and_one_line(command, examples, tmp_path, more, words):
    given = [text.replace("{fixed}", str(tmp_path / "steering" / "fixed.toml")) for text in more]
    ended = command(*examples("full"), *given)
    assert ended.code == 3, ended.err
    assert ended.out == ""
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_outputs_are_checked_before_anything_is_planned(command, examples, monkeypatch):
    import attnflow.cli.steer as room

    monkeypatch.setattr(room, "plan_between", lambda *all, **more: pytest.fail("a plan was made"))
    for more in (("--out", "/nowhere/plan.nc"), ("--layers", "0"), ("--layers", "4", "--scheme", "heun")):
        assert command(*examples("full"), *more).code == 3


class Asked:
    """Stands in for `steer`: keeps what it was asked, and answers with a plan that missed."""

    def __init__(self, ending="", miss=1e-3):
        self.ending, self.miss, self.options = ending, miss, {}

    def __call__(self, start, target, *, time, **options):
        self.options = options
        plan = af.steer(start, target, time=time)
        wrong = af.Gaussian(target.mean, target.factor * (1 + self.miss))
        details = {"ending": self.ending} if self.ending else {}
        return dataclasses.replace(plan, target=wrong, details=details, basis=af.Basis.NUMERICAL)


def test_a_constraint_is_handed_over_with_what_it_fixes(command, examples, other, monkeypatch):
    import attnflow.cli.steer as room
    from attnflow.reachability.constrained.constraints import AttentionOnly, LeastEnergy, TimeInvariant

    monkeypatch.setattr(room, "plan_between", asked := Asked())
    file = other("A = [[1, 2], [3, 4]]\nB = 0.5\nb = [1, 0]")
    command(*examples("full"), "--constrain", "attention-only", "--with", file, "--budget", "7", "--seed", "4")
    constraint = asked.options["constrain"]
    assert isinstance(constraint, AttentionOnly)
    np.testing.assert_array_equal(constraint.A, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(constraint.B, [[0.5, 0], [0, 0.5]])
    np.testing.assert_array_equal(constraint.b, [1, 0])
    assert (asked.options["budget"], asked.options["seed"]) == (7.0, 4)
    command(*examples("full"), "--constrain", "time-invariant", "--with", other("V = -1.0"))
    assert isinstance(asked.options["constrain"], TimeInvariant)
    np.testing.assert_array_equal(asked.options["constrain"].V, [[-1, 0], [0, -1]])
    assert asked.options["constrain"].A is None
    command(*examples("full"), "--constrain", "least-energy", "--rtol", "1e-9")
    assert isinstance(asked.options["constrain"], LeastEnergy)
    assert asked.options["rtol"] == 1e-9


@pytest.mark.parametrize(
    ("ending", "strict", "code", "words"),
    [
        ("", False, 0, "missed: "),
        ("exhausted", True, 5, "missed: "),
        ("budget", True, 4, "raise --budget"),
        ("interrupted", False, 130, "the best plan that was found"),
    ],
)
def test_a_missed_target_is_written_and_said(command, examples, monkeypatch, tmp_path, ending, strict, code, words):
    import attnflow.cli.steer as room

    monkeypatch.setattr(room, "plan_between", Asked(ending))
    ended = command(*examples("full"), "--out", tmp_path / "plan.nc", *["--strict"] * strict)
    assert ended.code == code
    assert words in ended.err
    assert "missed" in ended.out
    assert af.load(tmp_path / "plan.nc").status == "missed"


def test_strict_asks_the_replay_too(command, examples, monkeypatch):
    import attnflow.cli.steer as room

    def unsound(start, target, *, time):
        """A plan whose reference path says that it arrives, and whose controls lead elsewhere."""
        plan = af.steer(start, target, time=time)
        return dataclasses.replace(plan, law=af.steer(target, start, time=time).law)

    monkeypatch.setattr(room, "plan_between", unsound)
    assert command(*examples("full"), "--strict").code == 5
    assert command(*examples("full")).code == 0


def test_an_interrupt_leaves_no_file_and_no_traceback(command, examples, monkeypatch, tmp_path):
    import attnflow.cli.steer as room

    def pressed(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "plan_between", pressed)
    ended = command(*examples("full"), "--out", tmp_path / "plan.nc")
    assert (ended.code, ended.out) == (130, "")
    assert not (tmp_path / "plan.nc").exists()


@pytest.mark.skipif("constrain" not in inspect.signature(af.steer).parameters, reason="no constraints yet")
def test_attention_alone_does_the_example(command, examples, tmp_path):
    ended = command(
        *examples("attention"), "--constrain", "attention-only", "--with", tmp_path / "steering" / "fixed.toml",
        "--strict", "--json",
    )  # fmt: skip
    found = json.loads(ended.out)
    assert ended.code == 0
    assert max(found["replay"]["mean_error"], found["replay"]["cov_error"]) < 1e-6
    np.testing.assert_array_equal(found["A"][20], [[0.5, 0.25], [0.25, -0.5]])
    np.testing.assert_array_equal(found["b"][20], [0.0, 0.0])


def test_init_steer_overwrites_only_when_told(command, tmp_path):
    assert command("init", tmp_path, "--steer").code == 0
    again = command("init", tmp_path, "--steer")
    assert again.code == 3
    assert "--force" in again.err
    assert command("init", tmp_path, "--steer", "--force").code == 0


def test_every_option_is_explained_in_the_docs(command):
    page = (Path(__file__).parents[2] / "docs" / "steer.md").read_text()
    options = {word for word in command("steer", "--help").out.split() if word.startswith("--")} - {"--help"}
    assert {"--from", "--to", "--constrain", "--with", "--export"} <= options
    assert not {option for option in options if f"`{option}" not in page}


def test_the_examples_of_the_docs_run(capsys):
    page = (Path(__file__).parents[2] / "docs" / "steer.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "docs/steer.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "Rotation (theorem), T = 1, d = 2" in printed
    assert "the rank of the covariance is conserved" in printed
    assert printed.splitlines()[-1].startswith("PaperConstruction")
