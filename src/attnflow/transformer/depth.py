"""Parameters over depth: a function of time that returns a layer."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from typing_extensions import override

from .._check import BadInput, times
from .._types import AnyArray, ArrayLike
from .layer import AbstractLayer


class Depth(eqx.Module):
    """A model whose parameters depend on depth; made by `Depth.piecewise`, `.interpolated` or `.function`."""

    @abc.abstractmethod
    def at(self, t: float | AnyArray) -> AbstractLayer:
        """The layer at depth `t`; right-continuous where the parameters jump."""

    @property
    @abc.abstractmethod
    def jumps(self) -> np.ndarray:
        """The interior depths at which the parameters may jump or kink, increasing."""

    @property
    @abc.abstractmethod
    def end(self) -> float:
        """The depth up to which the parameters are defined (`inf` when they hold for ever)."""

    @property
    @abc.abstractmethod
    def dim(self) -> int | None:
        """d, or None when it is not fixed by the parameters."""

    @staticmethod
    def piecewise(models: Sequence[AbstractLayer], times: ArrayLike) -> Depth:
        """One constant layer a stretch: `models[i]` holds on [times[i], times[i+1]).

        `times` increases from 0 and has the length of `models` (the last one then holds for ever) or one more.

        Raises BadInput otherwise.
        """
        layers, edges = _models_and_times(models, times, extra=(0, 1))
        return Piecewise(layers, edges)

    @staticmethod
    def interpolated(models: Sequence[AbstractLayer], times: ArrayLike) -> Depth:
        """Parameters that are linear in depth between `models[i]` at `times[i]` and the next.

        All models have the same structure; `times` increases from 0, one for each model, at least two.

        Raises BadInput otherwise.
        """
        layers, knots = _models_and_times(models, times, extra=(0,))
        _require_same_structure(layers)
        if len(layers) < 2:
            raise BadInput("`models` must hold at least two models to interpolate: one was given.")
        return Interpolated(layers, knots)

    @staticmethod
    def function(f: Callable[[AnyArray], AbstractLayer]) -> Depth:
        """`f(t)` returns the layer at depth t; it is traced by JAX, so write it with `jax.numpy`.

        Raises BadInput when `f` is not a function.
        """
        if not callable(f):
            raise BadInput(f"`f` must be a function of depth: {type(f).__name__} was found; give t -> layer.")
        return Function(f)


class Piecewise(Depth):
    """Constant parameters on each stretch of depth."""

    models: tuple[AbstractLayer, ...]
    times: np.ndarray

    @override
    def at(self, t: float | AnyArray) -> AbstractLayer:
        if not isinstance(t, jax.Array):
            index = int(np.searchsorted(self.times, t, side="right")) - 1
            return self.models[min(index, len(self.models) - 1)]
        _require_same_structure(self.models)
        here = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, len(self.models) - 1)
        return _mixed(lambda *leaves: jnp.stack(leaves)[here], self.models)

    @property
    @override
    def jumps(self) -> np.ndarray:
        return self.times[1 : len(self.models)]

    @property
    @override
    def end(self) -> float:
        return float(self.times[-1]) if len(self.times) > len(self.models) else np.inf

    @property
    @override
    def dim(self) -> int | None:
        return _first_dim(self.models)


class Interpolated(Depth):
    """Parameters linear in depth between knots."""

    models: tuple[AbstractLayer, ...]
    times: np.ndarray

    @override
    def at(self, t: float | AnyArray) -> AbstractLayer:
        index = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, len(self.models) - 2)
        knots = jnp.asarray(self.times)
        weight = (t - knots[index]) / (knots[index + 1] - knots[index])

        def mix(*leaves: AnyArray) -> AnyArray:
            stacked = jnp.stack(leaves)
            return (1 - weight) * stacked[index] + weight * stacked[index + 1]

        return _mixed(mix, self.models)

    @property
    @override
    def jumps(self) -> np.ndarray:
        return self.times[1:-1]

    @property
    @override
    def end(self) -> float:
        return float(self.times[-1])

    @property
    @override
    def dim(self) -> int | None:
        return _first_dim(self.models)


class Function(Depth):
    """Parameters given by any function of depth."""

    function: Callable[[AnyArray], AbstractLayer]  # type: ignore[assignment]  # the door of the same name is static

    @override
    def at(self, t: float | AnyArray) -> AbstractLayer:
        return self.function(jnp.asarray(t))

    @property
    @override
    def jumps(self) -> np.ndarray:
        return np.zeros(0)

    @property
    @override
    def end(self) -> float:
        return float(np.inf)

    @property
    @override
    def dim(self) -> int | None:
        try:
            layer = eqx.filter_eval_shape(self.function, jnp.zeros(()))
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(
                f"the function of depth could not be traced by JAX ({type(error).__name__}); write it with jax.numpy "
                "and without Python branches on t, or use Depth.piecewise."
            ) from error
        if not isinstance(layer, AbstractLayer):
            raise BadInput(f"the function of depth must return a layer: {type(layer).__name__} was found.")
        return layer.dim


Model: TypeAlias = AbstractLayer | Depth


def layer_at(model: Model, t: float | AnyArray) -> AbstractLayer:
    """The layer of `model` at depth `t`: the model itself when its parameters are constant."""
    return model.at(t) if isinstance(model, Depth) else model


def _models_and_times(
    models: Sequence[AbstractLayer], knots: ArrayLike, *, extra: tuple[int, ...]
) -> tuple[tuple[AbstractLayer, ...], np.ndarray]:
    layers = tuple(models)
    for i, layer in enumerate(layers):
        if not isinstance(layer, AbstractLayer):
            raise BadInput(f"`models[{i}]` must be a layer: {type(layer).__name__} was found.")
    if not layers:
        raise BadInput("`models` must hold at least one layer: it is empty.")
    edges = times("times", knots)
    if edges[0] != 0:
        raise BadInput(f"`times` must start at 0, where the flow starts: it starts at {edges[0]:g}.")
    lengths = [len(layers) + more for more in extra]
    if edges.size not in lengths:
        wanted = " or ".join(str(length) for length in lengths)
        raise BadInput(f"`times` must have {wanted} entries for {len(layers)} models: {edges.size} were found.")
    dims = {layer.dim for layer in layers if layer.dim is not None}
    if len(dims) > 1:
        raise BadInput(f"all `models` must share one dimension d: {sorted(dims)} were found.")
    return layers, edges


def _first_dim(layers: tuple[AbstractLayer, ...]) -> int | None:
    return next((layer.dim for layer in layers if layer.dim is not None), None)


def _mixed(mix: Callable[..., AnyArray], layers: tuple[AbstractLayer, ...]) -> AbstractLayer:
    """The layer whose parameters are `mix` of the parameters of all `layers`."""
    mixed: AbstractLayer = jax.tree.map(mix, *layers)
    return mixed


def _signature(layer: AbstractLayer) -> Any:
    leaves, structure = jax.tree.flatten(layer)
    return structure, [np.shape(leaf) for leaf in leaves]


def _require_same_structure(layers: tuple[AbstractLayer, ...]) -> None:
    first = _signature(layers[0])
    for i, layer in enumerate(layers[1:], start=1):
        if _signature(layer) != first:
            raise BadInput(
                f"`models[{i}]` must have the same layers and parameter shapes as `models[0]`; "
                "write scalars as matrices or missing biases as zeros."
            )
