"""A network from the files of a folder; what transformers would pass over in silence is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._check import BadInput
from .families import SUPPORTED, Family, Module, family_of
from .quiet import ATTENTION, silent
from .sentence import read_json

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SHOWN = 3


def family_in(config: Path) -> Family:
    """The family of the configuration in the file `config`.

    Raises BadInput when there is none, or it is not supported.
    """
    if not config.is_file():
        raise BadInput(f"`source` must hold a network: there is no {config.name} in {config.parent}; check the folder.")
    content = read_json(config)
    return supported(content.get("model_type") if isinstance(content, dict) else None, f"`{config}` states")


def supported(model_type: object, found: str) -> Family:
    """The family called `model_type`; `found` begins the words for what was found.

    Raises BadInput, naming the supported ones, when there is none.
    """
    family = family_of(model_type)
    if family is None:
        said = f"the family {model_type!r}" if model_type else "no family (`model_type`)"
        raise BadInput(f"`source` must be one of {SUPPORTED}: {found} {said}; see docs/networks.md.")
    return family


def load(folder: Path, family: Family) -> Module:
    """The base model in `folder`, of `family`, with all its weights.

    Raises BadInput when there are none, or they do not fit its configuration.
    """
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise BadInput(
            f"`source` must hold weights: {folder} has a configuration and no {WEIGHTS[0]} or {WEIGHTS[2]}; give a "
            "folder with weights, or ask for random ones with `random_init`."
        )
    from transformers import AutoModel

    try:
        with silent():
            # Weights of another shape are listed and refused below: the error of transformers does not say which.
            model, told = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, attn_implementation=ATTENTION,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise BadInput(f"`source` must be readable: {folder} is not ({line}).") from error
    _require_fit(folder, family, model, told)
    return model


def from_config(source: Path | str, *, seed: int) -> Module:
    """A base model with random weights, from a folder, a configuration file, or the name of a family.

    The weights are drawn as transformers draws them, with `seed`; PyTorch's own state of randomness is untouched.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    models: Any = AutoModel
    try:
        with silent(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = AutoConfig.for_model(source) if isinstance(source, str) else AutoConfig.from_pretrained(source)
            model = models.from_config(config, attn_implementation=ATTENTION)
            return model.eval()
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise BadInput(f"`source` must be a configuration that can be built: {source} is not ({line}).") from error


def _require_fit(folder: Path, family: Family, model: Any, told: dict[str, Any]) -> None:
    if wrong := sorted(entry for entry in told["mismatched_keys"] if not entry[0].startswith(family.unused or ("?",))):
        name, found, wanted = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise BadInput(
            f"`source` must hold weights of the shapes that its configuration says: in {folder}, {name} has shape "
            f"{tuple(found)}, not {tuple(wanted)}{more}; correct config.json."
        )
    if missing := sorted(name for name in told["missing_keys"] if not name.startswith(family.unused or ("?",))):
        raise BadInput(
            f"`source` must hold all weights: {folder} lacks {_some(missing)}; they would be random. Give the whole "
            "network, or correct config.json."
        )
    parts = {name for name, _ in model.named_children()} | set(dict(model.named_parameters(recurse=False)))
    inner = {name.removeprefix(f"{model.base_model_prefix}.") for name in told["unexpected_keys"]}
    if extra := sorted(name for name in inner if name.partition(".")[0] in parts and not name.startswith("pooler.")):
        raise BadInput(
            f"`source` must hold no weights beside those of its configuration: {folder} has {_some(extra)} too; "
            "correct config.json."
        )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
