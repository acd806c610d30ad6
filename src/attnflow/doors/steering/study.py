"""`network_study`: how far compiled layers miss the target, by their number and by the number of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..._check import BadInput
from ...flow.leg import Progress
from ...reachability.compilation import Scheme
from ...reachability.law import Controls
from ...reachability.residual import images_behind
from ...reachability.tokens import TokenReplay, sampled_errors
from ..progress import progress_bar
from .network import Deviation, Network, compile_plan, whole
from .plan import Plan

SCHEMA_VERSION = 1
ROUNDING = 1e-11
FINEST = 3


@dataclasses.dataclass(frozen=True)
class LayersRow:
    """One network at Gaussians: `scheme`, number of `layers`, `exact` as in `Network`, `error` (None: overflow)."""

    scheme: Scheme
    layers: int
    exact: bool
    error: Deviation | None


@dataclasses.dataclass(frozen=True)
class TokensRow:
    """One network on tokens drawn from the start: `moments` against the target; `finite_n` what finitely many do.

    `finite_n` is the root mean square distance of the tokens from where infinitely many others would take them,
    relative to the standard deviation sqrt(tr cov) of the target.
    """

    scheme: Scheme
    layers: int
    moments: TokenReplay
    finite_n: float


@dataclasses.dataclass(frozen=True)
class Order:
    """The power of 1/L with which the errors of `scheme` fall: `mean` and `cov`; None where they are rounding.

    With `exact` no power is meant to be seen: `largest` is the largest error, of any number of layers.
    """

    scheme: Scheme
    exact: bool
    mean: float | None
    cov: float | None
    largest: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NetworkStudy:
    """The errors of compiled layers: `by_layers` at Gaussians, `by_tokens` on tokens drawn with `seed`.

    `method` is that of the plan.

    Source: this package, docs/compile.md.
    """

    method: str
    by_layers: tuple[LayersRow, ...]
    by_tokens: tuple[TokensRow, ...]
    seed: int

    @property
    def orders(self) -> dict[str, Order]:
        """By scheme, the observed order in 1/L: least squares in the logarithms of the three finest above rounding."""
        schemes = dict.fromkeys(row.scheme for row in self.by_layers)
        return {scheme.value: _order([row for row in self.by_layers if row.scheme is scheme]) for scheme in schemes}

    def plot(self) -> Any:
        """A picture: the errors over the number of layers, and over the number of tokens."""
        from ...report.network_errors import network_errors_figure

        layers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for scheme in self.orders:
            rows = [row for row in self.by_layers if row.scheme == scheme and row.error is not None]
            counts, worst = [row.layers for row in rows], [max(_pair(row)) for row in rows]
            layers[scheme] = (np.array(counts, dtype=int), np.array(worst))
        tokens: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(row.scheme.value for row in self.by_tokens):
            found = [row for row in self.by_tokens if row.scheme == name]
            tokens[name] = np.array(
                [[r.moments.n, r.moments.cov_error, r.moments.cov_floor, r.finite_n] for r in found]
            )
        return network_errors_figure(layers, tokens, title=self.method)

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON-able data with a `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "method": self.method,
            "seed": self.seed,
            "by_layers": [dataclasses.asdict(row) for row in self.by_layers],
            "by_tokens": [dataclasses.asdict(row) for row in self.by_tokens],
            "orders": [dataclasses.asdict(order) for order in self.orders.values()],
        }

    def __str__(self) -> str:
        """Both tables, with the observed orders."""
        lines = [f"{self.method}: error at Gaussians", f"{'scheme':<12} {'layers':>6} {'mean':>8} {'cov':>8}"]
        for row in self.by_layers:
            errors = "overflow" if row.error is None else "{:8.1e} {:8.1e}".format(*_pair(row))
            lines.append(f"{row.scheme.value:<12} {row.layers:>6} {errors}")
        lines += [_order_line(order) for order in self.orders.values()]
        if self.by_tokens:
            lines += ["", "tokens (floor: what n draws of the target itself give)"]
            heads = " ".join(f"{name:>8}" for name in ("mean", "floor", "cov", "floor", "finite n"))
            lines.append(f"{'scheme':<12} {'layers':>6} {'n':>7} {heads}")
        for token in self.by_tokens:
            m = token.moments
            figures = (m.mean_error, m.mean_floor, m.cov_error, m.cov_floor, token.finite_n)
            numbers = " ".join(f"{x:8.1e}" for x in figures)
            lines.append(f"{token.scheme.value:<12} {token.layers:>6} {m.n:>7} {numbers}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """One line: method, sizes, orders."""
        orders = "; ".join(_order_line(order) for order in self.orders.values())
        return f"NetworkStudy({self.method}: {orders}; {len(self.by_tokens)} token runs)"


def network_study(
    plan: Plan,
    layers: Sequence[int] = (4, 8, 16, 32, 64, 128),
    tokens: Sequence[int] = (1024, 4096, 16384),
    *,
    schemes: Iterable[Scheme | str] = (Scheme.EXPONENTIAL, Scheme.EULER),
    token_layers: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetworkStudy:
    """`plan` compiled by each of the `schemes` into each number of `layers`: its error at Gaussians and on tokens.

    For each of the numbers `tokens`, that many are drawn from the start with `seed` and go through `token_layers`
    layers by the first scheme; attention with B other than 0 costs n^2 d for each layer: minutes at n = 16384. Empty
    `tokens` leave that out. `progress` is called with the share done; a bar appears on a terminal by default.

    Raises BadInput for a number that is not positive and whole, an unknown scheme, or no layers or schemes.

    Source: this package, docs/compile.md.
    """
    counts, sizes = [whole("layers", L) for L in layers], [whole("tokens", n) for n in tokens]
    chosen = list(schemes)
    if not counts or not chosen:
        raise BadInput("`layers` and `schemes` must hold at least one entry: an empty one was found.")
    networks = [compile_plan(plan, L, scheme=scheme) for scheme in chosen for L in counts]
    by_layers = tuple(LayersRow(net.scheme, net.layers, net.exact, net.error) for net in networks)
    net, rows, work = compile_plan(plan, whole("token_layers", token_layers), scheme=chosen[0]), [], np.square(sizes)
    with progress_bar(1.0, progress, words="tokens") as report:
        for i, n in enumerate(sizes):
            rows.append(_tokens_row(net, n, seed))
            report(float(work[: i + 1].sum() / work.sum()))
    return NetworkStudy(plan.method, by_layers, tuple(rows), seed)


def _tokens_row(net: Network, n: int, seed: int) -> TokensRow:
    mean, factor = np.asarray(net.start.mean), np.asarray(net.start.factor)
    points = mean + np.random.default_rng(seed).normal(size=(n, factor.shape[1])) @ factor.T
    moved = net.apply(points)
    away = moved - images_behind(Controls(**net.weights), net.start, points)
    scale = float(np.linalg.norm(np.asarray(net.target.factor))) or 1.0
    apart = float(np.sqrt(np.mean(np.sum(np.square(away), axis=1)))) / scale
    return TokensRow(net.scheme, net.layers, sampled_errors(moved, net.target, seed=seed), apart)


def _order(rows: Sequence[LayersRow]) -> Order:
    finished = [row for row in rows if row.error is not None]
    counts = np.array([row.layers for row in finished], dtype=float)
    pairs = np.array([_pair(row) for row in finished]).reshape(-1, 2)
    exact, largest = rows[0].exact, float(pairs.max(initial=0.0))
    mean, cov = (None if exact else fitted_order(counts, errors) for errors in pairs.T)
    return Order(rows[0].scheme, exact, mean, cov, largest)


def fitted_order(layers: np.ndarray, errors: np.ndarray) -> float | None:
    """p in `errors` ~ `layers`^-p: least squares in the logarithms of the three finest above 1e-11.

    None when there are fewer than two.
    """
    order = np.argsort(layers)
    seen = order[errors[order] > ROUNDING][-FINEST:]
    if len(np.unique(layers[seen])) < 2:
        return None
    return -float(np.polyfit(np.log(layers[seen]), np.log(errors[seen]), 1)[0])


def _pair(row: LayersRow) -> tuple[float, float]:
    return (row.error.mean_error, row.error.cov_error) if row.error is not None else (np.inf, np.inf)


def _order_line(order: Order) -> str:
    if order.exact:
        return f"{order.scheme.value}: exact (error at most {order.largest:.1e})"
    mean, cov = ("at rounding" if p is None else f"order {p:.2f}" for p in (order.mean, order.cov))
    return f"{order.scheme.value}: mean {mean}, covariance {cov}"
