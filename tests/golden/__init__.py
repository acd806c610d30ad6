"""Golden cases: numbers from high-precision or exact arithmetic, never this package's own output."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent


def load(*kinds: str, files: tuple[str, ...] = ("gaussian.json", "more.json")) -> list[dict]:
    """The cases of these kinds from all files, in order; every case has id, name, kind, inputs, expected, rtol."""
    cases = [case for name in files for case in json.loads((HERE / name).read_text())["cases"]]
    return [case for case in cases if case["kind"] in kinds]
