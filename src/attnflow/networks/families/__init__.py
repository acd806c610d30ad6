"""The families of networks that can be opened, one a file: each says where the weights live."""

from __future__ import annotations

from .bert import BERT
from .deit import DEIT
from .family import Family, Module, Tensor
from .gpt2 import GPT2
from .modernbert import MODERNBERT
from .vit import VIT

__all__ = ["FAMILIES", "SUPPORTED", "Family", "Module", "Tensor", "family_of"]

FAMILIES: tuple[Family, ...] = (BERT, VIT, DEIT, MODERNBERT, GPT2)
SUPPORTED = ", ".join(family.name for family in FAMILIES)


def family_of(model_type: object) -> Family | None:
    """The family whose configurations say `model_type`, or None."""
    return next((family for family in FAMILIES if family.model_type == model_type), None)
