"""A module that the user holds, down to the base model in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from .._check import BadInput
from .families import Family, Module
from .folder import supported
from .pooling import Pooling
from .sentence import default_prompt, pooling_of


@dataclasses.dataclass(frozen=True)
class Live:
    """The base `model` of a module, its `family`, and what a module of sentence-transformers says beside it."""

    model: Module
    family: Family
    pooling: Pooling | None = None
    tokenizer: Any = None
    limit: int | None = None
    prompt: str = ""


def look_into(module: Any) -> Live:
    """The network in `module`: a model of transformers with or without a head, or one of sentence-transformers.

    Wrappers of `torch.compile` and of parallel training are taken off. Raises BadInput when there is none.
    """
    module = getattr(module, "_orig_mod", module)
    if type(module).__name__ in {"DataParallel", "DistributedDataParallel"}:
        module = module.module
    if any(_word(part) == "Pooling" for part in module.children()):
        return _sentence(module)
    return _base(module)


def _base(module: Any) -> Live:
    found = f"a module of class {type(module).__name__} has"
    family = supported(getattr(getattr(module, "config", None), "model_type", None), found)
    return Live(getattr(module, "base_model", module), family)


def _sentence(module: Any) -> Live:
    parts = list(module.children())
    words = [_word(part) for part in parts]
    if words not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise BadInput(
            f"`source` must be a Transformer, a Pooling and perhaps a Normalize: {', '.join(words)} were found; give "
            "the Transformer alone."
        )
    inner = _base(getattr(parts[0], "auto_model", None) or parts[0].model)
    prompt = default_prompt({name: getattr(module, name, None) for name in ("prompts", "default_prompt_name")})
    pooling = pooling_of(parts[1].get_config_dict(), normalised=len(parts) == 3, prompt=prompt)
    tokenizer, limit = getattr(parts[0], "tokenizer", None), getattr(parts[0], "max_seq_length", None)
    return dataclasses.replace(inner, pooling=pooling, tokenizer=tokenizer, limit=limit, prompt=prompt)


def _word(module: Any) -> str:
    return type(module).__name__
