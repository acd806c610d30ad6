"""What only a process of its own can show."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np

import attnflow as af


def test_json_is_alone_on_stdout(process, problem):
    ended = process("simulate", problem(clock="t1 = 1.0\npoints = 500"), "--json", "--verify")
    assert ended.code == 0
    assert json.loads(ended.out)["status"] == "reached_end"
    assert ended.out.count("\n") == 1
    assert ended.err == ""


def test_bad_input_exits_with_3(process, tmp_path):
    ended = process("simulate", tmp_path / "nowhere.toml")
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_wrong_usage_exits_with_2(process):
    assert process("simulate").code == 2
    assert process("simulate", "x.toml", "--bogus").code == 2
    assert process("fly").code == 2


def test_a_reader_that_leaves_is_no_error(environment, problem):
    many = problem(clock="t1 = 1.0\npoints = 500")
    line = f"{sys.executable} -m attnflow simulate {many} --json | head -c 10; echo '' ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stdout.split()[-1] == "0"
    assert done.stderr == ""


def test_ctrl_c_keeps_what_was_reached_and_exits_with_130(environment, tmp_path, tmp_path_factory, rng):
    d = 24
    turn = rng.normal(size=(d, d))
    np.savez(tmp_path / "long.npz", A=20 * (turn - turn.T), V=-np.eye(d) + 0.1 * rng.normal(size=(d, d)))
    file = tmp_path / "long.toml"
    file.write_text(
        f"[start]\nmean = {[0.0] * d}\ncov = 1.0\n"
        '[model.attention]\nB = 1.0\nV = "long.npz:V"\n[model.feedforward]\nA = "long.npz:A"\n'
        "[simulate]\nt1 = 1e9\npoints = 1000001\nmax_steps = 1000000000\n"
    )
    line = [sys.executable, "-m", "attnflow", "simulate", file.name, "--out", "run.nc"]
    cache = tmp_path_factory.mktemp("cache")
    alone = environment | {"ATTNFLOW_CACHE": str(cache)}
    running = subprocess.Popen(line, cwd=tmp_path, env=alone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    patience = time.monotonic() + 60
    while not list(cache.glob("jit__advance*")) and time.monotonic() < patience:
        time.sleep(0.1)  # until the integrator is compiled
    time.sleep(1.0)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in out
    assert af.load(tmp_path / "run.nc").status == "interrupted"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["long.npz", "long.toml", "run.nc"]


def test_ctrl_c_during_the_imports_is_silent(environment, problem):
    line = [sys.executable, "-m", "attnflow", "simulate", str(problem())]
    for delay in (0.25, 0.45):
        running = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
        assert running.returncode in (130, -signal.SIGINT)  # by the interpreter itself before the first line of main
        assert "ImportError" not in err
