"""`attnflow diagnose` on the command line, on small networks in folders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers")

import attnflow as af
from networks.tiny import save, tiny, tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT that reads the words a0 to a56."""
    place = save(tiny("bert"), tmp_path_factory.mktemp("models") / "small-bert")
    tokenizer().save_pretrained(place)
    (place / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A small one\n")
    return place


@pytest.fixture(scope="module")
def changed(tmp_path_factory, folder):
    """The same network with a larger last feed-forward."""
    from safetensors.numpy import load_file, save_file

    place = tmp_path_factory.mktemp("changed") / "changed-bert"
    shutil.copytree(folder, place)
    weights = load_file(place / "model.safetensors")
    weights["encoder.layer.2.output.dense.weight"] *= 2
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    return place


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng = np.random.default_rng(8)
    lines = [" ".join(f"a{i}" for i in rng.integers(0, 57, size=rng.choice([6, 11]))) for _ in range(42)]
    path = tmp_path_factory.mktemp("text") / "passages.txt"
    path.write_text("\n".join(lines) + "\n\n")
    return path


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNFLOW_CACHE", str(tmp_path / "cache"))


def test_a_network_on_text_gives_a_table_a_verdict_and_the_files_that_were_asked_for(command, folder, text, tmp_path):
    page, data, picture = (tmp_path / name for name in ("report.html", "run.nc", "run.png"))
    ended = command("diagnose", folder, "--text", text, "--out", page, "--save", data, "--plot", picture)
    assert ended.code == 0, ended.err
    head, *rows = ended.out.splitlines()
    assert head.split()[:3] == ["layer", "mean", "norm"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "3"]
    found = af.load(data)
    assert found.verdict.line in ended.err.splitlines()
    assert found.model["licence"] == "apache-2.0"
    assert "apache-2.0" in page.read_text()
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 1000


def test_json_holds_the_same_numbers_and_nothing_else_goes_to_stdout(command, folder, text):
    ended = command("diagnose", folder, "--text", text, "--json")
    found = json.loads(ended.out)
    assert found["inputs"]["kind"] == "text"
    assert len(found["layers"]["effective_rank"]) == 4
    assert len(found["layers"]["logit_variance"]) == 3
    assert found["verdict"]["line"] in ended.err


def test_the_gate_ends_with_ten_when_it_trips_and_with_zero_when_not(command, folder, changed, text):
    gate = ("--text", text, "--fail-on", "drift_max > 0.1 or overlap10 < 0.95")
    tripped = command("diagnose", changed, "--against", folder, *gate)
    assert tripped.code == 10
    assert "gate: drift_max is" in tripped.err
    assert "drift starts at layer 3" in tripped.err
    passed = command("diagnose", folder, "--against", folder, *gate)
    assert passed.code == 0
    assert "passed" in passed.err


def test_a_random_network_is_probed_with_gaussian_tokens(command, folder):
    ended = command("diagnose", "--random-init", folder, "--tokens", "64", "--batches", "2", "--seed", "3")
    assert ended.code == 0, ended.err
    assert "on Gaussian tokens (a probe, not your data)" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Give one of PATH_OR_ID and `--random-init CONFIG`"),
        (("absent-folder/deep",), "absent-folder/deep"),
        (("FOLDER", "--tokens", "8"), "`tokens` must be at least"),
        (("FOLDER", "--text", "absent.txt"), "absent.txt"),
        (("FOLDER", "--fail-on", "drift_mux > 1"), "did you mean `drift_max`"),
        (("FOLDER", "--out", "report.pdf"), "`--out` must end in .html"),
        (("FOLDER", "--save", "absent/run.nc"), "does not exist"),
        (("FOLDER", "--text", "x.txt", "--example-text"), "exclude each other"),
    ],
)
def test_bad_input_is_one_line_and_the_code_three(command, folder, arguments, words):
    ended = command("diagnose", *(folder if word == "FOLDER" else word for word in arguments))
    assert ended.code == 3
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_ctrl_c_keeps_finished_batches_and_the_same_command_goes_on(command, folder, tmp_path, monkeypatch):
    from attnflow.doors.diagnosis import row

    plain, calls = row.measure_state, []

    def interrupting(tokens, axes, *, spread):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return plain(tokens, axes, spread=spread)

    monkeypatch.setattr(row, "measure_state", interrupting)
    asked = ("diagnose", folder, "--tokens", "64", "--batches", "4", "--json")
    first = command(*asked)
    assert first.code == 130
    assert "interrupted after 2 of 4 inputs" in first.err
    assert json.loads(first.out)["inputs"]["count"] == 2
    assert len(list((tmp_path / "cache" / "diagnose").iterdir())) == 1
    second = command(*asked)
    assert second.code == 0
    assert len(calls) == 10 + 2 * 4
    assert json.loads(second.out)["inputs"]["count"] == 4
    assert list((tmp_path / "cache" / "diagnose").iterdir()) == []
