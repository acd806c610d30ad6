"""The input of `ensemble`, checked: many starts and their models, stacked in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._check import BadInput, real_array, require_finite
from ..flow.many.model import Stack
from ..measures.gaussian import Gaussian
from ..transformer.layer import AbstractLayer

LARGEST_STATE = 400


def stacked_starts(starts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means (N, d) and factors (N, d, r) of a sequence of Gaussians of one shape, or of one stacked Gaussian.

    Raises BadInput otherwise.
    """
    if isinstance(starts, Gaussian):
        mean = real_array("starts.mean", starts.mean, ndim=(2,))
        factor = real_array("starts.factor", starts.factor, ndim=(3,))
    else:
        mean, factor = _from_sequence(starts)
    if factor.shape[:2] != mean.shape:
        raise BadInput(
            f"`starts.factor` must have shape (N, d, r) with (N, d) = {mean.shape} to agree with `starts.mean`: shape "
            f"{factor.shape} was found."
        )
    if mean.size == 0:
        raise BadInput("`starts` must hold at least one Gaussian of dimension at least 1: it is empty.")
    if factor.shape[1] * (factor.shape[2] + 1) > LARGEST_STATE:
        raise BadInput(
            f"`starts` must be small, d (r + 1) <= {LARGEST_STATE}: d = {factor.shape[1]}, r = {factor.shape[2]} were "
            "found; use simulate for one system at a time."
        )
    return mean, factor


def _from_sequence(starts: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(starts, Sequence):
        raise BadInput(
            f"`starts` must be a sequence of Gaussians or one Gaussian with stacked mean (N, d) and factor (N, d, r): "
            f"{type(starts).__name__} was found."
        )
    for i, start in enumerate(starts):
        if not isinstance(start, Gaussian):
            raise BadInput(f"`starts[{i}]` must be a Gaussian: {type(start).__name__} was found.")
        if np.shape(start.factor) != np.shape(starts[0].factor) or np.ndim(start.mean) != 1:
            raise BadInput(
                f"`starts[{i}]` must have the shape of `starts[0]`, factor {np.shape(starts[0].factor)}: "
                f"{np.shape(start.factor)} was found; run each rank on its own, or give factors with zero columns."
            )
    if not starts:
        raise BadInput("`starts` must hold at least one Gaussian: it is empty.")
    mean, factor = (np.array([getattr(s, name) for s in starts], dtype=np.float64) for name in ("mean", "factor"))
    require_finite("starts", mean)
    require_finite("starts", factor)
    return mean, factor


def stacked_models(model: Any, count: int, dim: int, rank: int) -> Stack:
    """One layer for all systems, or a stack of `count` layers, with NumPy leaves.

    `model` is a layer, a sequence of `count` layers of one structure, or one layer whose leaves are stacked; which of
    them a layer is shows where its parameters fit dimension `dim` (`rank` is that of the starts).

    Raises BadInput for anything else, and where a layer can be read both ways.
    """
    if isinstance(model, Sequence):
        return Stack(_joined(model, count, dim, rank), shared=False)
    if not isinstance(model, AbstractLayer):
        raise BadInput(
            f"`model` must be a layer, a sequence of layers or a stacked layer with constant parameters: "
            f"{type(model).__name__} was found."
        )
    layer = _in_numpy(model)
    leaves = jax.tree.leaves(layer)
    as_one = _fits(layer, dim, rank)
    lengths = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in leaves}
    as_stack = lengths == {count} and _fits(jax.tree.map(lambda leaf: leaf[0], layer), dim, rank)
    if as_one and as_stack:
        raise BadInput("`model` can be read as one layer and as a stack of layers: give a sequence of layers.")
    if not as_one and not as_stack:
        raise BadInput(
            f"`model` must act in the dimension d = {dim} of `starts`, alone or as a stack of {count}: its parameters "
            f"have shapes {[np.shape(leaf) for leaf in leaves]}."
        )
    return Stack(layer, shared=as_one)


def _joined(models: Sequence[Any], count: int, dim: int, rank: int) -> AbstractLayer:
    if len(models) != count:
        raise BadInput(f"`model` must hold one layer for each of the {count} starts: {len(models)} were found.")
    layers = []
    for i, layer in enumerate(models):
        if not isinstance(layer, AbstractLayer):
            raise BadInput(f"`model[{i}]` must be a layer: {type(layer).__name__} was found.")
        layers.append(_in_numpy(layer))
    kinds = [(jax.tree.structure(x), [np.shape(leaf) for leaf in jax.tree.leaves(x)]) for x in layers]
    for i, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise BadInput(
                f"`model[{i}]` must have the same layers and parameter shapes as `model[0]`; write scalars as matrices "
                "or missing biases as zeros."
            )
    if not _fits(layers[0], dim, rank):
        raise BadInput(
            f"`model` must act in the dimension d = {dim} of `starts`: the parameters of `model[0]` have shapes "
            f"{kinds[0][1]}."
        )
    joined: AbstractLayer = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
    return joined


def _in_numpy(layer: AbstractLayer) -> AbstractLayer:
    found: AbstractLayer = jax.tree.map(_leaf, layer)
    return found


def _leaf(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        require_finite("model", array)
    return array


def _fits(layer: AbstractLayer, dim: int, rank: int) -> bool:
    """Whether the layer gives an affine map of R^dim at a Gaussian; found without computing."""
    start = Gaussian(jnp.zeros(dim), jnp.zeros((dim, rank)))

    def answer(layer: AbstractLayer, start: Gaussian) -> tuple[jax.Array, jax.Array]:
        affine = layer.at_gaussian(start)
        return jnp.asarray(affine.linear()), jnp.asarray(affine.offset)

    try:
        linear, offset = eqx.filter_eval_shape(answer, layer, start)
    except BadInput:
        raise
    except (TypeError, ValueError, IndexError):
        return False
    return bool(linear.shape == (dim, dim) and offset.shape == (dim,))
