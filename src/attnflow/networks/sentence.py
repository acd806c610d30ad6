"""What a folder of sentence-transformers says beside the network: pooling, length, prompt."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._check import BadInput
from .pooling import Pooling

LIST = "modules.json"
MODES = {
    "cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last", "weightedmean": "weighted mean",
    "mean_sqrt_len_tokens": "mean times sqrt(n)",
}  # fmt: skip
OLD = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}  # fmt: skip
TASKS = (None, "feature-extraction", "fill-mask")


@dataclasses.dataclass(frozen=True)
class Sentence:
    """The network lies in `folder`; `pooling` makes a vector; a passage is cut at `limit` tokens, if that is said.

    `prompt` stands before each passage; `lower` says that only small letters are read.
    """

    folder: Path
    pooling: Pooling
    limit: int | None
    prompt: str
    lower: bool


def read_sentence(folder: Path) -> Sentence | None:
    """What `folder` says, or None when it is not one of sentence-transformers.

    Raises BadInput when it has parts that are not known here.
    """
    if not (folder / LIST).is_file():
        return None
    parts = [(_kind(part), folder / str(part.get("path", ""))) for part in read_json(folder / LIST)]
    kinds = [kind for kind, _ in parts]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise BadInput(
            f"`source` must be a Transformer, a Pooling and perhaps a Normalize: {folder} lists {', '.join(kinds)}; "
            "give a folder without the other parts."
        )
    inner, settings = parts[0][1], _read_if_there(parts[0][1] / "sentence_bert_config.json")
    if settings.get("transformer_task") not in TASKS:
        raise BadInput(
            f"`source` must use its Transformer for its tokens: {inner} has the task {settings['transformer_task']!r}; "
            "give the network without its head."
        )
    prompt = default_prompt(_read_if_there(folder / "config_sentence_transformers.json"))
    pooling = pooling_of(read_json(parts[1][1] / "config.json"), normalised=len(kinds) == 3, prompt=prompt)
    limit = settings.get("max_seq_length")
    return Sentence(inner, pooling, limit, prompt, bool(settings.get("do_lower_case")))


def pooling_of(config: Mapping[str, Any], *, normalised: bool, prompt: str) -> Pooling:
    """The pooling that the `config` of a Pooling part means.

    Raises BadInput when it joins several vectors, is not known here, or leaves out the tokens of a `prompt`.
    """
    found = config.get("pooling_mode") or [mode for name, mode in OLD.items() if config.get(name)] or ["mean"]
    modes = [found] if isinstance(found, str) else list(found)
    if len(modes) != 1 or modes[0] not in MODES:
        raise BadInput(
            f"`source` must pool by one of {', '.join(MODES)}: {' and '.join(modes)} was found in its Pooling part."
        )
    if prompt and config.get("include_prompt") is False:
        raise BadInput("`source` must pool all tokens: its Pooling part leaves out those of the prompt; remove it.")
    return Pooling(MODES[modes[0]], normalised)


def default_prompt(settings: Mapping[str, Any]) -> str:
    """The prompt that the `settings` of sentence-transformers put before each passage, or ""."""
    return str((settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or "")


def read_json(path: Path) -> Any:
    """What the JSON file `path` holds.

    Raises BadInput when it is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"`source` must be complete: {path} is missing or cannot be read.") from error
    except ValueError as error:
        raise BadInput(f"`source` must be readable: {path} is not JSON ({error}).") from error


def _read_if_there(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _kind(part: Mapping[str, Any]) -> str:
    return str(part.get("type", "?")).rpartition(".")[2]
