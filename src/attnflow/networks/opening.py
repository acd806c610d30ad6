"""From what a user gives to an encoder that is proved."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._check import BadInput
from .card import licence_of, name_of
from .encoder import Encoder
from .families import FAMILIES, Family, Module, Tensor, family_of
from .folder import family_in, from_config, load
from .hub import folder_of_id
from .images import WITHOUT, pictures_for
from .live import look_into
from .passages import Passages, folder_of_tokenizer
from .pooling import Pooling
from .proof import prove
from .quiet import measured
from .sentence import Sentence, read_sentence

NEEDED = ("torch", "transformers")
EXAMPLE_TOKENS = 24


def open_source(source: Any, *, random_init: bool, seed: int, tokenizer: Any) -> Encoder:
    """The proved encoder of `source`: see `open_encoder`, which has the same arguments.

    `random_init`, `seed` and `tokenizer` are as there.
    """
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise BadInput(
            f"`source` needs {' and '.join(absent)}, which are not installed: install them with "
            "pip install 'attnflow[networks]'."
        )
    if hasattr(source, "named_parameters"):
        if random_init:
            raise BadInput("`random_init` needs a configuration: a module was given as `source`; give its folder.")
        return _proved(_of_module(source, tokenizer))
    if not isinstance(source, str | os.PathLike) or not str(source):
        raise BadInput(
            "`source` must be a folder, a Hugging Face id or a torch.nn.Module: "
            f"{type(source).__name__} {str(source)[:40]!r} was found."
        )
    return _proved(_of_name(source, random_init=random_init, seed=seed, tokenizer=tokenizer))


@dataclasses.dataclass(frozen=True)
class _Found:
    """What is known of a network before it is proved."""

    name: str
    source: str
    model: Module
    family: Family
    folder: Path | None = None
    pooling: Pooling | None = None
    tokenizer: Any = None
    limit: int | None = None
    prompt: str = ""
    lower: bool = False
    strip: bool = False
    notes: tuple[str, ...] = ()


def _of_module(module: Any, tokenizer: Any) -> _Found:
    live = look_into(module)
    name = type(module).__name__
    return _Found(
        name, f"a module of class {name}", live.model, live.family, pooling=live.pooling,
        tokenizer=_tokenizer(tokenizer, live.tokenizer), limit=live.limit, prompt=live.prompt,
        strip=live.pooling is not None,
    )  # fmt: skip


def _of_name(source: str | os.PathLike[str], *, random_init: bool, seed: int, tokenizer: Any) -> _Found:
    said = os.fspath(source)
    family = family_of(said.lower()) if random_init and not Path(said).exists() else None
    if family is not None:
        model = from_config(family.model_type, seed=seed)
        return _random(_Found(f"{family.name} (random weights)", said, model, family, tokenizer=tokenizer), seed)
    folder = _folder(said, weights=not random_init)
    config_file = folder.name if folder.is_file() else "config.json"
    folder = folder.parent if folder.is_file() else folder
    sentence = read_sentence(folder)
    inner = folder if sentence is None else sentence.folder
    family = family_in(inner / config_file)
    found = _Found(name_of(folder), said, _PENDING, family, folder=folder)
    found = dataclasses.replace(found, tokenizer=_tokenizer(tokenizer, folder_of_tokenizer(inner)))
    found = _with_sentence(found, sentence)
    if random_init:
        model = from_config(inner / config_file, seed=seed)
        named = dataclasses.replace(found, name=f"{found.name} (random weights)", model=model)
        return _random(named, seed)
    return dataclasses.replace(found, model=load(inner, family))


_PENDING: Any = None
"""Stands for the model while the files beside it are read, which is quick and may fail."""


def _refuse_other_types(said: str) -> None:
    from transformers import CONFIG_MAPPING

    if said.lower() in CONFIG_MAPPING:
        known = ", ".join(family.model_type for family in FAMILIES)
        raise BadInput(f"`random_init` must be of a supported family ({known}): the model type {said!r} is of another.")


def _folder(said: str, *, weights: bool) -> Path:
    path = Path(said).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".json"):
        if path.is_file() and weights:
            raise BadInput(
                f"`source` must be a folder with weights: the file {said} is a configuration; give `random_init` to "
                "draw random weights, or its folder."
            )
        return path
    if not weights and not path.exists():
        _refuse_other_types(said)
    if path.is_file():
        raise BadInput(f"`source` must be a folder, not a file: {said} was found; give the folder that it is in.")
    return folder_of_id(said, weights=weights)


def _tokenizer(given: Any, own: Any) -> Any:
    if given is None:
        return own
    if isinstance(given, str | os.PathLike):
        if not Path(given).is_dir() or folder_of_tokenizer(Path(given)) is None:
            raise BadInput(f"`tokenizer` must be a folder with a tokenizer, or an object: {given!s} is neither.")
        return Path(given)
    return given


def _with_sentence(found: _Found, sentence: Sentence | None) -> _Found:
    if sentence is None:
        return found
    return dataclasses.replace(
        found, pooling=sentence.pooling, limit=sentence.limit, prompt=sentence.prompt, lower=sentence.lower, strip=True
    )


def _random(found: _Found, seed: int) -> _Found:
    return dataclasses.replace(found, notes=(f"the weights are random (seed {seed}): nothing was learnt",))


def _proved(found: _Found) -> Encoder:
    """The encoder of what was `found`, after the proof."""
    _require_blocks(found.model, found.family)
    model, family, config = found.model, found.family, _config(found.model)
    pooling, notes = found.pooling, list(found.notes)
    if pooling is None:
        pooling = Pooling(family.pooling)
        notes.append(f"pooling is not stated: {pooling.mode} is used, as is usual for {family.name}")
    if found.prompt:
        notes.append(f"the prompt {found.prompt!r} is put before each passage")
    reader: Any
    if family.modality == "text":
        limits = [limit for limit in (found.limit, config.max_position_embeddings) if limit is not None]
        reader = Passages(
            found.tokenizer, min(limits), int(config.vocab_size), found.prompt, lower=found.lower, strip=found.strip
        )
    else:
        reader = pictures_for(model, found.folder)
        notes += [] if reader.folder is not None else [WITHOUT]
    licence = None if found.folder is None else licence_of(found.folder)
    encoder = Encoder(found.name, found.source, licence, (), model, family, reader, pooling)
    with measured(model):
        notes += [*_precision(model, family), *prove(family, model, _example(encoder))]
    return dataclasses.replace(encoder, notes=tuple(notes))


def _require_blocks(model: Module, family: Family) -> None:
    """Raise BadInput unless the parts of `model` stand where `family` looks for them."""
    try:
        parts = [(family.reader(block), family.writer(block)) for block in family.blocks(model)]
    except AttributeError:
        parts = []
    if not parts:
        raise BadInput(
            f"`source` must be a whole {family.name}, as transformers builds it: {type(model).__name__} has no blocks "
            "at their place; give the whole model, and see docs/networks.md for the versions of transformers."
        )


def _config(model: Any) -> Any:
    return model.config


def _precision(model: Module, family: Family) -> list[str]:
    weight = next(family.blocks(model)[0].parameters())
    if weight.element_size() >= 4:
        return []
    kind = str(weight.dtype).removeprefix("torch.")
    return [
        f"the weights are {kind}: states carry its rounding; the proof was made in float64, on copies of the blocks"
    ]


def _example(encoder: Encoder) -> Mapping[str, Tensor]:
    """A short input, always the same: tokens or pixels at random."""
    rng = np.random.default_rng(1)
    if encoder.modality == "text":
        reader: Any = encoder.reader
        tokens = rng.integers(0, reader.vocabulary, (1, min(EXAMPLE_TOKENS, reader.limit)))
        return {"input_ids": encoder.tensor(tokens)}
    pictures: Any = encoder.reader
    pixels = rng.standard_normal((1, pictures.channels, *pictures.size))
    return {"pixel_values": encoder.tensor(pixels)}
