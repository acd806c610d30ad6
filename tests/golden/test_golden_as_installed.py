"""The suite compiles in a hurry (tests/conftest.py): here golden cases run with the compiler as users have it."""

import os
import re
import subprocess
import sys
from pathlib import Path

CASES = "Tf_general_1_d2 or trajectory_10_d6 or sigma_closed_form or closed_form or attention_at_a_gaussian"


def test_golden_cases_hold_with_the_whole_compiler():
    golden = Path(__file__).with_name("test_golden.py")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(golden), "-k", CASES]
    whole = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=3"}
    ended = subprocess.run(line, env=whole, capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode == 0, ended.stdout
    passed = re.search(r"(\d+) passed", ended.stdout)
    assert passed is not None
    assert int(passed[1]) > 20
