"""What can be reproduced: names, and where the work is done. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .probe import Probe

if TYPE_CHECKING:
    from .check import Reproduction


@dataclass(frozen=True)
class Target:
    """A published figure or table: its `name`, what it shows and checks, and the `module` that computes it.

    The module has a function `reproduce(folder)` that writes into an existing folder, and the `FILES` it writes there.
    With `takes_model` it is `reproduce(folder, probe)`: the network and the tokens can be chosen.
    """

    name: str
    title: str
    checks: str
    module: str
    takes_model: bool = False


TARGETS = (
    Target(
        name="alcalde2026/fig1",
        title="Three regimes of the covariance, and a bias that takes the mean to (1, 2)",
        checks="biases, covariance limits and moments at T = 100 against 40-digit references, for two matrices B",
        module="attnflow.reproduce.alcalde2026.fig1",
    ),
    Target(
        name="alcalde2026/table1",
        title="Table 1, printed and corrected, against integrations of generic and chosen systems",
        checks="the corrected claims on every system, the counterexamples to the printed ones, limits, bounds, replays",
        module="attnflow.reproduce.alcalde2026.table1",
    ),
    Target(
        name="alcalde2026/prop23",
        title="Proposition 2.3: how fast ReLU tokens leave the Gaussian flow, and the bound",
        checks="W_2 / (t bound) on the line, the rotation's slopes, 500 random systems, the hypotheses of Lemma 2.2",
        module="attnflow.reproduce.alcalde2026.prop23",
    ),
    Target(
        name="alcalde2026/fig2",
        title="Gaussian tokens through a pretrained Transformer: the distance to their Gaussian by layer",
        checks="the input at its floor; for MiniLM sliced distance, discrepancy and effective rank by layer",
        module="attnflow.reproduce.alcalde2026.fig2",
        takes_model=True,
    ),
    Target(
        name="alcalde2026/fig3",
        title="Gaussian tokens through a pretrained Transformer: marginals by layer",
        checks="which coordinate, normal moments at the input; for MiniLM spread and kurtosis by layer",
        module="attnflow.reproduce.alcalde2026.fig3",
        takes_model=True,
    ),
    Target(
        name="alcalde2026/fig4",
        title="Blocks with V = +-a I, B = +-c I, no norms: trace and mean by layer, and what kind of growth it is",
        checks="the first attention; for MiniLM the separation of the sign pairs, the trace, the theory beside it",
        module="attnflow.reproduce.alcalde2026.fig4",
        takes_model=True,
    ),
    Target(
        name="castin2025/zero",
        title="Covariances that vanish in the cone of 2 x 2 matrices: softmax, L2, two heads, Sinkhorn",
        checks="limits, the common 1/t tail against its equation, the published stopping sizes, replays",
        module="attnflow.reproduce.castin2025.zero",
    ),
    Target(
        name="castin2025/line",
        title="Limits on a line (softmax, L2) and in a plane (two heads)",
        checks="limits in closed form, conserved quantities, replays",
        module="attnflow.reproduce.castin2025.line",
    ),
    Target(
        name="castin2025/mixed",
        title="Limits on two lines: K^T Q and V indefinite, softmax and L2",
        checks="rank one, the two isotropic directions, rest, replays",
        module="attnflow.reproduce.castin2025.mixed",
    ),
    Target(
        name="castin2025/divergence",
        title="Blow-up (softmax, two heads) and exponential growth (L2, Sinkhorn) in the normalised disc",
        checks="1184 blow-up times against closed form and replays, growth rates and their bounds",
        module="attnflow.reproduce.castin2025.divergence",
    ),
    Target(
        name="castin2025/both",
        title="Convergence or blow-up depending on the start, in the normalised disc",
        checks="57 of 648 starts blow up (softmax), none (L2, two heads); limits, blow-up times, replays",
        module="attnflow.reproduce.castin2025.both",
    ),
    Target(
        name="castin2025/histograms",
        title="Ranks of the limits for d = 3, 4, 5, and the published algorithm beside one panel",
        checks="exact rank of 1200 limits, none undecided, what is conserved; the published counts and their cause",
        module="attnflow.reproduce.castin2025.histograms",
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


def run(target: Target, folder: str | os.PathLike[str], probe: Probe | None = None) -> Reproduction:
    """Compute `target` and write its files into `folder`, which is created; `probe` chooses network and tokens.

    Raises BadInput, before any computation, when the folder or a file in it cannot be written, or `target` looks at no
    network and `probe` asks for something.
    """
    from .._atomic import check_writable

    asked = Probe() if probe is None else probe
    _require_network(target, asked)
    place = Path(folder)
    _create(place)
    module = importlib.import_module(target.module)
    for file in module.FILES:
        check_writable(place / file)
    result: Reproduction = module.reproduce(place, asked) if target.takes_model else module.reproduce(place)
    return result


def _require_network(target: Target, probe: Probe) -> None:
    if target.takes_model or not probe.given:
        return
    from .._check import BadInput

    those = ", ".join(target.name for target in TARGETS if target.takes_model)
    raise BadInput(
        f"`{probe.given[0]}` must be left out: {target.name} looks at no network; those that do are {those}."
    )


def _create(folder: Path) -> None:
    from .._check import BadInput

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"`{folder}` cannot be made a folder: {reason}; choose another one.") from error
