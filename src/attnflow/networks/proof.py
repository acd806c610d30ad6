"""The proof that a network is what its family says: its own numbers against those recomputed from its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .._check import BadInput
from ..diagnostics.attention import Attention
from .families import Family, Module, Tensor
from .families.weights import as_array
from .inside import first, through, watched

TOLERANCE = 1e-5
ROUNDED = 1e-2
"""Float32 may differ by this much where the same block in float64 agrees to the tolerance: large logits."""
HALF = 3e-2
"""So much may the model's own forward pass differ from its blocks one by one in 16 bits."""
TOKENS = 32
QUERIES = 48


def prove(family: Family, model: Module, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Recompute every block of `model`, on Gaussian tokens and on `inputs`, and its output from the blocks.

    Returns notes on rounding. Raises BadInput naming the block and what differs.
    """
    _require_finite(model)
    notes: list[str] = []
    for tokens in (_gaussian(family, model), family.embed(model, inputs)):
        for layer, beside in enumerate(family.beside(model, tokens)):
            note, tokens = _prove_block(family, model, layer, tokens, beside)
            notes += [] if note is None else [note]
    _prove_whole(family, model, inputs)
    return tuple(notes)


def recomputed(
    attention: Attention, tokens: Float[np.ndarray, "n d"], queries: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m d"]:
    """What `attention` adds to the tokens number `queries` among `tokens` (n, d): plain softmax sums in float64."""
    n = tokens.shape[0]
    begin, end = attention.keys.bounds(queries, n)
    seen = (np.arange(n) >= begin[:, None]) & (np.arange(n) < end[:, None])
    query = _projected(tokens, attention.query, attention.query_bias)
    key = _projected(tokens, attention.key, attention.key_bias)
    value = _projected(tokens, attention.value, attention.value_bias)
    if attention.rotary is not None:
        query, key = _turned(query, attention.rotary), _turned(key, attention.rotary)
    logits = np.where(seen, attention.scale * query[:, queries] @ key.mT, -np.inf)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    averages = np.concatenate(list(weights @ value), axis=1)
    output = np.concatenate(list(attention.output.astype(np.float64)), axis=1)
    added: np.ndarray = averages @ output.T + attention.output_bias
    return added


def _projected(
    tokens: Float[np.ndarray, "n d"], weight: Float[np.ndarray, "h k d"], bias: Float[np.ndarray, "h k"]
) -> Float[np.ndarray, "h n k"]:
    h, k, d = weight.shape
    # One product for all heads: many small ones cost far more than they compute.
    product: np.ndarray = tokens.astype(np.float64) @ weight.reshape(h * k, d).astype(np.float64).T + bias.reshape(-1)
    return product.reshape(-1, h, k).transpose(1, 0, 2)


def _turned(vectors: Float[np.ndarray, "h n k"], rotary: Float[np.ndarray, " half"]) -> Float[np.ndarray, "h n k"]:
    half = vectors.shape[2] // 2
    turn = np.exp(1j * np.arange(vectors.shape[1])[:, None] * rotary.astype(np.float64))
    turned = (vectors[..., :half] + 1j * vectors[..., half:]) * turn
    return np.concatenate([turned.real, turned.imag], axis=2)


def _require_finite(model: Module) -> None:
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise BadInput(
                f"`source` must have finite weights: `{name}` holds NaN or infinity; train or convert it again."
            )


def _gaussian(family: Family, model: Module) -> Tensor:
    """Gaussian tokens, more of them than a window holds on one side."""
    import torch

    attentions = [family.attention(model, block) for block in family.blocks(model)]
    reach = max((a.keys.before or 0 for a in attentions if isinstance(a, Attention)), default=0)
    weight = next(family.blocks(model)[0].parameters())
    d = int(model.config.hidden_size)
    tokens = np.random.default_rng(0).standard_normal((1, reach + TOKENS, d))
    return torch.from_numpy(tokens).to(weight.device, weight.dtype)


def _prove_block(
    family: Family, model: Module, layer: int, tokens: Tensor, beside: Mapping[str, Any]
) -> tuple[str | None, Tensor]:
    """The words that only rounding is between block `layer` and its weights, if so, and what leaves the block."""
    block = family.blocks(model)[layer]
    attention = family.attention(model, block)
    own, output = _errors(family, block, attention, tokens, beside)
    if not bool(output.isfinite().all()):
        raise BadInput(
            f"`source` must give finite numbers: what leaves block {layer} is NaN or infinite on a short input; look "
            "for huge weights there."
        )
    if tokens.element_size() < 4:
        own = {}  # in 16 bits they say nothing
    elif max(own.values()) <= TOLERANCE:
        return None, output
    elif max(own.values()) > ROUNDED:
        raise _differs(family, layer, own)
    exact = _errors_in_float64(family, model, layer, attention, tokens)
    if exact is None or max(exact.values()) > TOLERANCE:
        raise _differs(family, layer, exact or own or {"block (its copy in float64 does not run)": np.inf})
    words = f"layer {layer}: logits so large that float32 is good to {max(own.values()):.0e} only" if own else None
    return words, output


def _errors_in_float64(
    family: Family, model: Module, layer: int, attention: Attention | str, tokens: Tensor
) -> dict[str, float] | None:
    """The differences for a copy of block `layer` in float64; None when it does not run, its forward being replaced."""
    exact = tokens.double()
    try:
        block = copy.deepcopy(family.blocks(model)[layer]).double()
        return _errors(family, block, attention, exact, family.beside(model, exact)[layer])[0]
    except RuntimeError:
        return None


def _errors(
    family: Family, block: Module, attention: Attention | str, tokens: Tensor, beside: Mapping[str, Any]
) -> tuple[dict[str, float], Tensor]:
    """Relative differences of attention, and of the whole block, from what is recomputed; and what leaves the block."""
    import torch

    with watched(family, block) as seen:
        output = first(block(tokens, **beside))
    if len(seen) < 2:
        return {"attention (the block does not call the module that holds it)": np.inf}, output
    n = tokens.shape[1]
    queries = np.unique(np.linspace(0, n - 1, min(n, QUERIES)).astype(int))
    rest = family.complete(block, tokens, seen["attention"])
    errors = {
        "norm before attention": _distance(family.reads(block, tokens), seen["attended"]),
        "block around its attention": _distance(rest, output),
    }
    if isinstance(attention, Attention):
        found = recomputed(attention, as_array(seen["attended"][0]), queries)
        errors["attention"] = _distance(torch.from_numpy(found), seen["attention"][0, queries].cpu())
    return errors, output


def _distance(found: Tensor, own: Tensor) -> float:
    """The relative Frobenius distance of `found` from `own`."""
    own = own.double()
    size = float(own.norm())
    distance = float((found.double() - own).norm()) / (size if size > 0 else 1.0)
    return distance if np.isfinite(distance) else np.inf


def _prove_whole(family: Family, model: Module, inputs: Mapping[str, Tensor]) -> None:
    own = model(**inputs).last_hidden_state
    ours = family.finish(model, through(family, model, family.embed(model, inputs), None))
    tolerance = TOLERANCE if own.element_size() >= 4 else HALF
    if (error := _distance(ours, own)) > tolerance:
        raise BadInput(
            f"`source` must be the composition of its blocks, as {family.name} is: its own output differs from it by "
            f"{error:.1e} (tolerance {tolerance:.0e}); give the network without changes to its forward pass."
        )


def _differs(family: Family, layer: int, errors: Mapping[str, float]) -> BadInput:
    part, error = max(errors.items(), key=lambda pair: pair[1])
    return BadInput(
        f"`source` must compute what {family.name} computes from its weights: in layer {layer} the {part} differs by "
        f"{error:.1e} (relative; tolerance {TOLERANCE:.0e}); give the network without changes to its forward pass "
        "(adapters merged, not quantised)."
    )
