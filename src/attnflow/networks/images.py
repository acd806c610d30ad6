"""Pictures as the pixels that a network reads."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .._check import BadInput
from .item import Item
from .quiet import silent

PROCESSOR = "preprocessor_config.json"
WITHOUT = "images are resized to the model's size and scaled to [-1, 1]: the folder does not say how to prepare them"


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Reads pictures with the image processor of `folder`, or, where there is none, resizes and scales to [-1, 1].

    The network takes `channels` colours and pictures of `size` (height, width), which become `tokens` tokens.
    """

    folder: Path | None
    size: tuple[int, int]
    channels: int
    tokens: int

    def __call__(self, paths: Sequence[str | os.PathLike[str]]) -> list[Item]:
        """One item a picture; its pixels are read when it is run.

        Raises BadInput when a file is no picture.
        """
        for path in paths:
            _check(Path(path))
        return [Item(self.tokens, False, functools.partial(self._inputs, Path(path))) for path in paths]

    def _inputs(self, path: Path) -> Mapping[str, np.ndarray]:
        from PIL import Image

        with Image.open(path) as opened:
            picture = opened.convert("L" if self.channels == 1 else "RGB")
        pixels = self._scaled(picture) if self._processor is None else self._processed(picture)
        wanted = (1, self.channels, *self.size)
        if pixels.shape != wanted:
            raise BadInput(
                f"`images` must be prepared for the network, shape {wanted}: {PROCESSOR} gives shape {pixels.shape}; "
                "correct the sizes in it."
            )
        return {"pixel_values": pixels}

    @functools.cached_property
    def _processor(self) -> Any:
        if self.folder is None:
            return None
        import transformers

        processors: Any = transformers.AutoImageProcessor
        try:
            with silent():
                return processors.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise BadInput(f"`source` must hold a readable {PROCESSOR}: {self.folder} does not ({line}).") from error

    def _processed(self, picture: Any) -> Float[np.ndarray, "1 c a b"]:
        with silent():
            return np.asarray(self._processor(images=picture, return_tensors="np")["pixel_values"], np.float32)

    def _scaled(self, picture: Any) -> Float[np.ndarray, "1 c a b"]:
        from PIL import Image

        height, width = self.size
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1.0
        return pixels.reshape(height, width, self.channels).transpose(2, 0, 1)[None]


def pictures_for(model: Any, folder: Path | None) -> Pictures:
    """The reader of pictures for the base `model`, with the image processor in `folder` if there is one."""
    embeddings = model.embeddings
    sizes: Any = embeddings.patch_embeddings.image_size
    height, width = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes)
    found = folder if folder is not None and (folder / PROCESSOR).is_file() else None
    tokens = int(embeddings.position_embeddings.shape[1])
    return Pictures(found, (int(height), int(width)), int(model.config.num_channels), tokens)


def _check(path: Path) -> None:
    from PIL import Image

    if not path.is_file():
        raise BadInput(f"`images` must be files: there is none at `{path}`; check the path.")
    try:
        with Image.open(path) as picture:
            picture.verify()
    except Exception as error:
        raise BadInput(f"`images` must be pictures: `{path}` cannot be read as one; leave it out.") from error
