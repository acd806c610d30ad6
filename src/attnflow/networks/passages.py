"""Passages of text as the tokens that a network reads."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._check import BadInput
from .item import Item
from .quiet import silent

FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")


@dataclasses.dataclass(frozen=True, eq=False)
class Passages:
    """Reads text with `tokenizer` (an object, a folder, or None where there is none).

    A passage is cut at `limit` tokens; `vocabulary` is the number of tokens that the network knows. `prompt` stands
    before each passage; `lower` writes small letters first, `strip` takes away spaces at both ends.
    """

    tokenizer: Any
    limit: int
    vocabulary: int
    prompt: str = ""
    lower: bool = False
    strip: bool = False

    def __call__(self, passages: Sequence[str]) -> list[Item]:
        """One item a passage.

        Raises BadInput when there is no tokenizer, it does not belong to the network, or a passage has no token.
        """
        if self._tokenizer is None:
            raise BadInput(
                "`text` needs a tokenizer: `source` comes without one; give its folder, or the object, as `tokenizer`."
            )
        return [self._item(number, passage) for number, passage in enumerate(passages)]

    @functools.cached_property
    def _tokenizer(self) -> Any:
        if not isinstance(self.tokenizer, str | Path):
            return self.tokenizer
        from transformers import AutoTokenizer

        try:
            with silent():
                return AutoTokenizer.from_pretrained(self.tokenizer, local_files_only=True)
        except Exception as error:
            raise BadInput(f"`tokenizer` must be readable: {self.tokenizer} is not ({_line(error)}).") from error

    def _item(self, number: int, passage: str) -> Item:
        text = passage.strip() if self.strip else passage
        text = self.prompt + (text.lower() if self.lower else text)
        limit = min(self.limit, int(getattr(self._tokenizer, "model_max_length", self.limit)))
        ids = self._tokenizer(text, truncation=False, verbose=False)["input_ids"]
        if truncated := len(ids) > limit:
            # Not ids[:limit]: a special token that ends the passage must stay.
            ids = self._tokenizer(text, truncation=True, max_length=limit, verbose=False)["input_ids"]
        if not ids:
            raise BadInput(f"`text` must hold a token in each passage: number {number} ({passage[:40]!r}) has none.")
        if max(ids) >= self.vocabulary:
            raise BadInput(
                f"`tokenizer` must belong to the network: it gives token {max(ids)}, the network knows "
                f"{self.vocabulary}; give the one that it was trained with."
            )
        array = np.array([ids], dtype=np.int64)
        return Item(len(ids), truncated, lambda: {"input_ids": array})


def folder_of_tokenizer(folder: Path) -> Path | None:
    """`folder` if a tokenizer lies in it, or None."""
    return folder if any((folder / name).is_file() for name in FILES) else None


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
