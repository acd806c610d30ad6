"""A Hugging Face id as a folder on this machine, without a long wait where there is no network."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from .._check import BadInput

ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
SECONDS = 3.0
SMALL = ("*.json", "*.txt", "*.model", "README.md")
WEIGHTS = "*.safetensors"
OTHER_WEIGHTS = "pytorch_model*.bin"
LEFT_OUT = ("onnx/*", "openvino/*", "original/*")


def folder_of_id(source: str, *, weights: bool = True) -> Path:
    """The folder with the files of the model `source`: from the cache, or downloaded; only small ones if not `weights`.

    Raises BadInput when it is neither in the cache nor within reach.
    """
    if not ID.fullmatch(source):
        raise BadInput(f"`source` must be a folder, a module or a Hugging Face id: there is no folder `{source}`.")
    from huggingface_hub import snapshot_download

    cached = _cached(source)
    if cached is not None and (not weights or _has_weights(cached)):
        return cached
    if _offline() or not _reachable():
        why = "HF_HUB_OFFLINE is set" if _offline() else "huggingface.co cannot be reached"
        raise BadInput(
            f"`source` must be a folder here or a model within reach: there is no folder `{source}`, it is not in the "
            f"cache of Hugging Face, and {why}; download it where there is a network and give its folder."
        )
    try:
        wanted = [*SMALL, *((WEIGHTS,) if weights else ())]
        folder = Path(snapshot_download(source, allow_patterns=wanted, ignore_patterns=list(LEFT_OUT)))
        if weights and not _has_weights(folder):
            folder = Path(snapshot_download(source, allow_patterns=[*SMALL, OTHER_WEIGHTS]))
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise BadInput(f"`source` must be a folder or a model on the hub: `{source}` is neither ({line}).") from error
    return folder


def _cached(source: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _has_weights(folder: Path) -> bool:
    return any(folder.rglob(WEIGHTS)) or any(folder.rglob(OTHER_WEIGHTS))


def _offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _reachable() -> bool:
    """Whether the hub, or the proxy on the way, takes a connection within seconds."""
    from huggingface_hub import constants

    target = urlsplit(constants.ENDPOINT)
    host = target.hostname or ""
    if (proxy := getproxies().get(target.scheme)) and not proxy_bypass(host):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        with socket.create_connection((target.hostname or host, port), timeout=SECONDS):
            return True
    except OSError:
        return False
