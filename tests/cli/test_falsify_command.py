"""`attnflow falsify` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FALSE = ("sym(V) < 0, sym(B) > 0", "bounded")


def test_a_counterexample_is_printed_and_its_script_written(command, tmp_path):
    script = tmp_path / "proof.py"
    ended = command("falsify", *FALSE, "--budget", 4, "--script", script)
    assert ended.code == 0
    assert "refuted, proved in exact arithmetic, verified" in ended.out
    assert "V = [[" in ended.out
    assert f"wrote {script}" in ended.err
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout == "refuted: sym(V) < 0, sym(B) > 0 => bounded\n"


def test_json_and_latex_stand_alone_on_stdout(command):
    ended = command("falsify", "V = eta I, S <= 0, A = 0 => zero limit", "--budget", 3, "--json", "--dim", 3)
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["verified"]
    assert found["dim"] == 3
    assert len(found["counterexample"]["A"]) == 3
    assert ended.err == ""
    ended = command("falsify", *FALSE, "--budget", 3, "--latex")
    assert ended.out.startswith("Claim: if $\\operatorname{sym}(V) \\prec 0$, ")
    assert "\\begin{pmatrix}" in ended.out


def test_a_true_claim_ends_with_zero_and_with_five_when_strict(command, tmp_path):
    script = tmp_path / "proof.py"
    ended = command("falsify", "V < 0, B > 0 => bounded", "--budget", 1, "--script", script)
    assert ended.code == 0
    assert "not refuted" in ended.out
    assert "was not written" in ended.err
    assert not script.exists()
    assert command("falsify", "V < 0, B > 0 => bounded", "--budget", 1, "--strict").code == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("V < 0, Q > 0", "bounded"), "'Q' was found in 'Q > 0'"),
        (("V < 0", "nice"), "`conclusion` must be one of"),
        (("V < 0",), "must hold a conclusion"),
        ((*FALSE, "--dim", 0), "`d` must be a whole number from 1 to 6"),
        ((*FALSE, "--json", "--latex"), "exclude each other"),
        ((*FALSE, "--script", "/nowhere/x.py"), "does not exist"),
    ],
)
def test_bad_input_ends_with_three_and_one_line(command, arguments, words):
    ended = command("falsify", *arguments)
    assert ended.code == 3
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def wait_until_it_searches(pid: int) -> None:
    """Until the process has computed for eight seconds, however busy the machine is: imports take three or four."""
    statistics, end = Path(f"/proc/{pid}/stat"), time.monotonic() + 120.0
    if not statistics.exists():
        time.sleep(10.0)
        return
    while time.monotonic() < end:
        ticks = statistics.read_text().rsplit(")", 1)[1].split()[11:13]
        if sum(map(int, ticks)) > 8.0 * os.sysconf("SC_CLK_TCK"):
            return
        time.sleep(0.1)


def test_an_interrupt_reports_what_was_tried(environment):
    line = [sys.executable, "-m", "attnflow", "falsify", "V < 0, B > 0 => bounded", "--json", "--budget", "600"]
    run = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    wait_until_it_searches(run.pid)
    os.kill(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    found = json.loads(out)
    assert found["interrupted"]
    assert found["tried"] > 0
    assert "interrupted" in err
