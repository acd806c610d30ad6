"""Tokens through the blocks of a network, looked at on their way."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from .families import Family, Module, Tensor
from .families.weights import as_array


@dataclasses.dataclass(frozen=True)
class Inside:
    """What one block reads and what its attention adds; the arrays are read-only and hold during the visit only.

    `state` (n, d) are the tokens that enter the block (or that leave the last one, before a last norm), `attended`
    (n, d) those that its heads read (after a norm before attention), `attention` (n, d) what attention adds, with its
    bias, before the residual. There is no `attended` and no `attention` behind the last block.
    """

    state: Float[np.ndarray, "n d"]
    attended: Float[np.ndarray, "n d"] | None
    attention: Float[np.ndarray, "n d"] | None


Visit = Callable[[int, Inside], None]
"""Called for the blocks 0 to L - 1 when each is done, and once more with L."""


def through(family: Family, model: Module, tokens: Tensor, visit: Visit | None) -> Tensor:
    """The `tokens` (1, n, d) behind the last block of `model`; nothing is kept of what `visit` was shown."""
    blocks = family.blocks(model)
    for layer, (block, beside) in enumerate(zip(blocks, family.beside(model, tokens), strict=True)):
        if visit is None:
            tokens = first(block(tokens, **beside))
            continue
        state = tokens
        with watched(family, block) as seen:
            tokens = first(block(state, **beside))
        visit(layer, Inside(_shown(state), _shown(seen["attended"]), _shown(seen["attention"])))
        del state, seen
    if visit is not None:
        visit(len(blocks), Inside(_shown(tokens), None, None))
    return tokens


@contextlib.contextmanager
def watched(family: Family, block: Module) -> Iterator[dict[str, Tensor]]:
    """What the heads of `block` read ("attended") and write ("attention"), in calls within this block."""
    seen: dict[str, Tensor] = {}

    def read(_: Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen["attended"] = arguments[0] if arguments else named["hidden_states"]

    def written(_: Module, __: tuple[Any, ...], output: Any) -> None:
        seen["attention"] = first(output)

    handles = []
    try:
        handles.append(family.reader(block).register_forward_pre_hook(read, with_kwargs=True))
        handles.append(family.writer(block).register_forward_hook(written))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def first(output: Any) -> Tensor:
    """The tensor of a module's `output`, which may be alone or the first of several."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


def _shown(tokens: Tensor) -> np.ndarray:
    return as_array(tokens[0])
