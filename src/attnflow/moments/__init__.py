"""Exact expectations under a Gaussian or a mixture of Gaussians.

`attnflow.moments` is also a public name: its functions, which check their arguments, live in `attnflow.doors.moments`
and are found there when they are asked for here.
"""

from __future__ import annotations

import importlib
from typing import Any

PUBLIC = ("Mixture", "OutputMoments", "layer_norm", "mlp", "rms_norm")


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'attnflow.moments' has no attribute {name!r}")
    value = getattr(importlib.import_module("attnflow.doors.moments"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(PUBLIC)
