"""`Network`: a plan compiled into residual layers, with what they do to Gaussians and to tokens."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..._check import BadInput, real_array, require_shape
from ..._types import ArrayLike
from ...files.provenance import provenance
from ...files.weights import read_weights, write_weights
from ...measures.distances import bures_wasserstein
from ...measures.gaussian import Gaussian
from ...reachability.compilation import Scheme, compile_law
from ...reachability.errors import cov_error, mean_error, worst_direction
from ...reachability.law import Controls
from ...reachability.residual import gaussian_behind, tokens_behind
from ...transformer.depth import Depth

if TYPE_CHECKING:
    from ...networks.residual_stack import ResidualStack
    from .plan import Plan

SCHEMA_VERSION = 1
LAYER = "y = x + V_l attn(x; B_l) + A_l x + b_l, attn = average of tokens y_j weighted by exp(y_j^T B_l x)"


@dataclasses.dataclass(frozen=True)
class Deviation:
    """How far the end of a stack lies from its target at Gaussians.

    `mean_error`, `cov_error`, `worst_direction` and `bures_wasserstein` mean the same as in `Replay`.
    """

    mean_error: float
    cov_error: float
    worst_direction: float
    bures_wasserstein: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Network:
    """Residual layers y = x + V_l attn(x; B_l) + A_l x + b_l that take `start` to `target`.

    attn is the average of the tokens y_j with weights proportional to exp(y_j^T B_l x). `weights` are the arrays "A",
    "B", "V" (layers, d, d) and "b" (layers, d); layer l stands for the plan from `depths[l]` to `depths[l + 1]`.
    `scheme` is "exponential" or "euler"; `exact` says whether the layers follow the plan exactly at Gaussians, whatever
    their number. `time` is T, `method` that of the plan, `notes` say what else is worth knowing.

    Source: this package, docs/compile.md.
    """

    weights: dict[str, np.ndarray]
    start: Gaussian
    target: Gaussian
    scheme: Scheme
    exact: bool
    time: float
    depths: Float[np.ndarray, " layers_1"]
    method: str
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.weights["b"])

    @property
    def dim(self) -> int:
        """d."""
        return int(self.weights["b"].shape[1])

    @functools.cached_property
    def model(self) -> Depth:
        """The layers over depth, for `simulate(net.model, start, layers=net.layers)`: layer l at depth l, step 1.

        It is meant for residual layers; as parameters of the continuous flow it is something else.
        """
        blocks = [Controls(*layer).layer() for layer in zip(*self._parameters, strict=True)]
        return Depth.piecewise(blocks, np.arange(self.layers + 1.0))

    @functools.cached_property
    def end(self) -> Gaussian | None:
        """The Gaussian behind all layers, from `start`; None when it leaves float64 (too few layers)."""
        return gaussian_behind(self._parameters, self.start)

    @functools.cached_property
    def error(self) -> Deviation | None:
        """The distance of `end` from `target`; None when there is no end."""
        if self.end is None:
            return None
        found, wanted = np.asarray(self.end.cov), np.asarray(self.target.cov)
        return Deviation(
            mean_error=mean_error(self.end, self.start, self.target),
            cov_error=cov_error(found, wanted),
            worst_direction=worst_direction(self.end, self.target),
            bures_wasserstein=float(bures_wasserstein(self.end, self.target)),
        )

    def apply(self, tokens: ArrayLike) -> Float[np.ndarray, "*m n d"]:
        """The `tokens` (n, d), or a batch of such sets (m, n, d), behind all layers, in float64.

        Memory is linear in n. Raises BadInput for another shape, no tokens, or when a layer overflows.
        """
        given = real_array("tokens", tokens, ndim=(2, 3))
        if given.shape[-1] != self.dim or given.shape[-2] == 0:
            raise BadInput(
                f"`tokens` must have the shape (n, {self.dim}) or (m, n, {self.dim}) with n at least 1: "
                f"{given.shape} was found."
            )
        clouds = given if given.ndim == 3 else given[None]
        moved = [self._cloud(points) for points in clouds]
        return np.stack(moved).reshape(given.shape) if moved else given

    def to_torch(self) -> ResidualStack:
        """The layers as a `torch.nn.Module` in float64, for tokens (..., n, d); the parameters are frozen.

        Needs the extra `networks`; raises ImportError without PyTorch.
        """
        try:
            from ...networks.residual_stack import ResidualStack
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ImportError("`to_torch` needs PyTorch: install it with pip install 'attnflow[networks]'.") from error
        return ResidualStack(self.weights, self._metadata())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and metadata to the safetensors file `path`, whole or not at all; `load_network` reads it.

        The metadata are JSON texts; the tensors are "A", "B", "V" and "b" alone. Raises BadInput when `path` cannot be
        written.
        """
        write_weights(path, self.weights, self._metadata() | {"provenance": provenance()})

    def to_dict(self) -> dict[str, Any]:
        """What the network is and how well it does, as JSON-able data with a `schema_version`; not the weights."""
        return {
            "schema_version": SCHEMA_VERSION,
            "layers": self.layers,
            "dim": self.dim,
            "scheme": self.scheme.value,
            "exact": self.exact,
            "time": self.time,
            "method": self.method,
            "notes": list(self.notes),
            "error": None if self.error is None else dataclasses.asdict(self.error),
        }

    def __repr__(self) -> str:
        """One line: layers, scheme, size, error."""
        error = "beyond float64" if self.error is None else f"error {_worst(self.error):.1e}"
        return f"Network({self.layers} layers, {self.scheme.value}, {self.method}, d = {self.dim}, {error})"

    @property
    def _parameters(self) -> Controls:
        return Controls(*(self.weights[name] for name in Controls._fields))

    def _cloud(self, points: np.ndarray) -> np.ndarray:
        moved, failed = tokens_behind(self._parameters, points)
        if failed is not None:
            raise BadInput(
                f"`tokens` must stay within float64: layer {failed} of {self.layers} overflows; compile with more "
                "layers or by the scheme 'exponential'."
            )
        return moved

    def _metadata(self) -> dict[str, Any]:
        return {
            "kind": "residual stack",
            "layer": LAYER,
            "scheme": self.scheme.value,
            "exact": self.exact,
            "time": self.time,
            "depths": self.depths.tolist(),
            "method": self.method,
            "notes": list(self.notes),
            "start": _described(self.start),
            "target": _described(self.target),
        }


def compile_plan(plan: Plan, layers: int, *, scheme: Scheme | str = Scheme.EXPONENTIAL) -> Network:
    """`plan` as a stack of `layers` residual layers by `scheme`, "exponential" or "euler".

    Raises BadInput when `layers` is no positive whole number or `scheme` is something else.

    Source: this package, docs/compile.md, The weights.
    """
    count = whole("layers", layers)
    if scheme not in list(Scheme):
        raise BadInput(f"`scheme` must be 'exponential' or 'euler': {scheme!r} was found.")
    stack = compile_law(plan.law, plan.motion, plan.time, count, Scheme(scheme))
    missed = () if plan.status == "reached" else (f"the plan itself does not reach its target: {plan.reason}",)
    return Network(
        weights={name: np.asarray(part) for name, part in stack.weights._asdict().items()},
        start=plan.start,
        target=plan.target,
        scheme=Scheme(scheme),
        exact=stack.exact,
        time=plan.time,
        depths=stack.depths,
        method=plan.method,
        notes=(*plan.notes, *missed, *stack.notes),
    )


def whole(name: str, value: Any) -> int:
    """`value` as a positive integer; raises BadInput that calls it `name`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise BadInput(f"`{name}` must be a positive whole number: {value!r} was found; 64 is a good start.")
    return int(value)


def load_network(path: str | os.PathLike[str]) -> Network:
    """The `Network` in the safetensors file `path` that `Network.save` wrote; torch is not needed.

    Raises BadInput when the file is missing, damaged or holds something else.
    """
    tensors, metadata = read_weights(path)
    try:
        weights = {
            name: real_array(name, tensors[name], ndim=(2,) if name == "b" else (3,)) for name in Controls._fields
        }
        layers, d = weights["b"].shape
        for name in ("A", "B", "V"):
            require_shape(name, weights[name].shape, (layers, d, d), because="to agree with `b`")
        return Network(
            weights=weights,
            start=_gaussian(metadata["start"], d),
            target=_gaussian(metadata["target"], d),
            scheme=Scheme(metadata["scheme"]),
            exact=bool(metadata["exact"]),
            time=float(metadata["time"]),
            depths=np.array(metadata["depths"], dtype=np.float64),
            method=str(metadata["method"]),
            notes=tuple(metadata["notes"]),
        )
    except BadInput as error:
        raise BadInput(f"`{path}` must hold a network: {error}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput(
            f"`{path}` must hold a network: a part of it is missing or wrong ({error}); save it again."
        ) from error


def _described(gaussian: Gaussian) -> dict[str, Any]:
    mean, factor = (np.asarray(part, dtype=np.float64) for part in (gaussian.mean, gaussian.factor))
    return {"mean": mean.tolist(), "factor": factor.tolist()}


def _gaussian(described: dict[str, Any], d: int) -> Gaussian:
    return Gaussian.from_factor(described["mean"], np.array(described["factor"], dtype=np.float64).reshape(d, -1))


def _worst(error: Deviation) -> float:
    return max(error.mean_error, error.cov_error)
