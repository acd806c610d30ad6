"""The repository stands alone: no file points to a place or a note outside it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Put together from pieces, so that this file does not find itself.
NOTES = [name + ".md" for name in ("HOU" + "SE", "MA" + "TH", "PE" + "RF", "STY" + "LE")]
FORBIDDEN = ["../" + "shared", "/wo" + "rk/", *NOTES]


def files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_points_outside_the_repository():
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files()
        for word in FORBIDDEN
        if word.encode() in path.read_bytes()
    ]
    assert not found, "\n".join(found)
