"""What can be reproduced: names, and where the work is done. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .check import Reproduction


@dataclass(frozen=True)
class Target:
    """A published figure or table: its `name`, what it shows and checks, and the `module` that computes it.

    The module has a function `reproduce(folder)` that writes into an existing folder, and the `FILES` it writes there.
    """

    name: str
    title: str
    checks: str
    module: str


TARGETS = (
    Target(
        name="alcalde2026/fig1",
        title="Three regimes of the covariance, and a bias that takes the mean to (1, 2)",
        checks="biases, covariance limits and moments at T = 100 against 40-digit references, for two matrices B",
        module="attnflow.reproduce.alcalde2026.fig1",
    ),
)


def find(name: str) -> Target:
    """The target called `name`.

    Raises BadInput when there is none.
    """
    for target in TARGETS:
        if target.name == name:
            return target
    from .._check import BadInput

    known = ", ".join(target.name for target in TARGETS)
    raise BadInput(f"`target` must be one of {known}: {name!r} was found; `attnflow reproduce --list` describes them.")


def run(target: Target, folder: str | os.PathLike[str]) -> Reproduction:
    """Compute `target` and write its files into `folder`, which is created.

    Raises BadInput, before any computation, when the folder or a file in it cannot be written.
    """
    from .._atomic import check_writable

    place = Path(folder)
    _create(place)
    module = importlib.import_module(target.module)
    for file in module.FILES:
        check_writable(place / file)
    result: Reproduction = module.reproduce(place)
    return result


def _create(folder: Path) -> None:
    from .._check import BadInput

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"`{folder}` cannot be made a folder: {reason}; choose another one.") from error
