"""The example files for `attnflow steer`: full rank, a line that turns into another, attention alone."""

from __future__ import annotations

import os
from pathlib import Path

from .._atomic import replacing
from .._check import BadInput

EXAMPLES = {
    "full-from.toml": """\
# Where the plan starts: a Gaussian, by its mean and covariance.
#
# Run it, in this folder, with
#   attnflow steer --from full-from.toml --to full-to.toml --time 1 --plot full.png
#
# A matrix is written row by row, or as a number (that multiple of the identity), or read from a NumPy archive beside
# this file: cov = "params.npz:C". Instead of cov: factor = ... (cov = factor factor^T), or tokens = "tokens.npy" alone.

mean = [1.0, 2.0]
cov = [[1.0, 0.3],
       [0.3, 0.5]]
""",
    "full-to.toml": """\
# Where the plan leads. Any mean can be reached, and any covariance of the same rank.

mean = [-1.0, 2.5]
cov = [[0.2, -0.1],
       [-0.1, 2.0]]
""",
    "line-from.toml": """\
# All mass on a horizontal line: rank one.
#
#   attnflow steer --from line-from.toml --to line-to.toml --time 1 --layers 32 --export line.safetensors

mean = [0.0, 0.0]
factor = [1.0, 0.0]                       # cov = factor factor^T; several columns: [[1.0, 0.0], [0.0, 0.5]]
""",
    "line-to.toml": """\
# All mass on a vertical line: its range is orthogonal to that of the start, and a rotation is needed.

mean = [2.0, 1.0]
factor = [0.0, 2.0]
""",
    "attention-from.toml": """\
# Attention must do the work: the feed-forward layer is given, B and V may be chosen at every depth.
#
#   attnflow steer --from attention-from.toml --to attention-to.toml --constrain attention-only --with fixed.toml \\
#     --time 1 --plot attention.png --out attention.nc

mean = [1.0, 0.5]
cov = [[0.4, 0.2],
       [0.2, 0.3]]
""",
    "attention-to.toml": """\
mean = [0.5, 1.0]
cov = [[0.6, -0.1],
       [-0.1, 0.3]]
""",
    "fixed.toml": """\
# What --constrain leaves as it is. For attention-only: A, and if wanted B and b (zero unless given).

A = [[0.5, 0.25],
     [0.25, -0.5]]
""",
}
"""File names and texts."""


def write_steering_examples(folder: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write `EXAMPLES` into `folder`, which is made if it is missing; the paths.

    Raises BadInput, and writes nothing, when one of them exists and `overwrite` is false, or cannot be written.
    """
    place = Path(folder)
    paths = tuple(place / name for name in EXAMPLES)
    present = [path for path in paths if path.exists()]
    if present and not overwrite:
        raise BadInput(f"`{present[0]}` exists already: it is left as it is; choose another folder or add --force.")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"`{place}` must be a folder that can be made: {error.strerror}; choose another.") from error
    for path, text in zip(paths, EXAMPLES.values(), strict=True):
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return paths
