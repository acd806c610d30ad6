"""A model as it is measured, and afterwards as it was; transformers without its bars and warnings."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

ATTENTION = "sdpa"
"""The implementation of attention that needs no n x n matrix where all keys are seen."""


@contextlib.contextmanager
def measured(model: Any) -> Iterator[None]:
    """`model` without dropout, without gradients and autocast, with SDPA attention; as it was when the block ends."""
    import torch

    modules = list(model.modules())
    training = [module for module in modules if module.training]
    configs = {id(module.config): module.config for module in modules if "config" in vars(module)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    device = next(model.parameters()).device.type
    try:
        for module in training:
            module.training = False
        for key, config in configs.items():
            if before[key] != ATTENTION:
                config._attn_implementation = ATTENTION
        with torch.inference_mode(), torch.autocast(device, enabled=False):
            yield
    finally:
        for module in training:
            module.training = True
        for key, config in configs.items():
            if before[key] != ATTENTION:
                config._attn_implementation = before[key]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Transformers prints no progress bars, reports and warnings within this block."""
    import transformers

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
