"""DeiT: the blocks of a Vision Transformer; its embedding has a second token, for distillation, beside the first.

DeiT without that token is stored as a ViT (`model_type` "vit") and opened as one.
"""

from __future__ import annotations

from .vit import VisionTransformer

DEIT = VisionTransformer("DeiT", "deit")
