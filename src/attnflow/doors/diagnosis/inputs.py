"""What goes through a network: passages, images, saved states, or Gaussian tokens as a probe."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._check import BadInput
from .source import SavedStates, Visit

MARGIN = 2
"""So many tokens more than the width must a Gaussian probe have: its covariance is to be seen in full."""
BYTES = 100
"""So much memory takes a coordinate of a token at once: states, queries, keys, values, the hidden layer."""
SHOWN = 200
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What is to be run: `kind` is "gaussian", "text", "images" or "states", `dim` the width, `labels` names each.

    `sizes` are their numbers of tokens, as far as they are known before, and `run(i, visit)` sends number i through the
    network and gives the output: (p,), or (n, d) for Gaussian tokens. `fingerprint` tells equal inputs; `reading` tells
    equal ways to read them, by what reaches the network; `seeds` has one for each input, whatever its place; `notes`
    what was left out; `path` the file or folder they came from, if it was one.
    """

    kind: str
    dim: int
    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    run: Callable[[int, Visit | None], np.ndarray]
    fingerprint: str
    seeds: tuple[int, ...]
    reading: str = ""
    notes: tuple[str, ...] = ()
    path: str | None = None

    @property
    def real(self) -> bool:
        """Whether this is real input, and not a probe."""
        return self.kind != "gaussian"


def gaussian_inputs(encoder: Any, *, tokens: int, batches: int, seed: int) -> Inputs:
    """`batches` clouds of `tokens` independent standard Gaussian tokens, straight into the first block of `encoder`.

    Cloud i comes from the seeds (`seed`, i), whatever was drawn before.

    Raises BadInput when there are too few tokens for the width.
    """
    if tokens < encoder.dim + MARGIN:
        raise BadInput(
            f"`tokens` must be at least {encoder.dim + MARGIN}, two more than the width {encoder.dim}, for a "
            f"covariance of full rank: {tokens} was found; give for example {max(1024, 4 * encoder.dim)}."
        )

    if (needed := tokens * encoder.dim * BYTES) > (memory := _memory()):
        raise BadInput(
            f"`tokens` must fit into memory: {tokens:,} tokens of width {encoder.dim} need about {needed / 1e9:.0f} "
            f"GB, and this machine has {memory / 1e9:.0f} GB; give fewer."
        )

    def run(i: int, visit: Visit | None) -> np.ndarray:
        cloud = np.random.default_rng([seed, i]).standard_normal((tokens, encoder.dim), dtype=np.float32)
        return np.asarray(encoder.run_tokens(cloud, visit))

    mark = f"gaussian {tokens} {seed} {encoder.dim}"
    labels = tuple(f"batch {i}" for i in range(batches))
    seeds = tuple(seed_of(seed, i) for i in range(batches))
    return Inputs("gaussian", encoder.dim, labels, (tokens,) * batches, run, mark, seeds)


def text_inputs(encoder: Any, passages: Sequence[str], *, seed: int) -> Inputs:
    """The `passages`, each by itself, through `encoder` with its own tokenizer; `seed` and its words seed a passage.

    A passage of one token has no spread and is left out with a note. Raises BadInput when none is left, or the model
    reads no text.
    """
    if encoder.modality != "text":
        raise BadInput(f"`text` needs a model that reads text: `{encoder.name}` reads {_plural(encoder.modality)}.")
    items = encoder.read_text(list(passages))
    kept = [i for i, item in enumerate(items) if item.tokens >= 2]
    if not kept:
        raise BadInput("`text` must hold a passage of at least two tokens: none was found.")
    notes = []
    if len(kept) < len(items):
        notes.append(f"{len(items) - len(kept)} passages of a single token were left out: one token has no spread")
    if cut := sum(items[i].truncated for i in kept):
        notes.append(f"{cut} passages were cut at the model's limit of tokens")
    chosen = [items[i] for i in kept]
    labels = tuple(passages[i] for i in kept)
    return Inputs(
        "text", encoder.dim, labels, tuple(item.tokens for item in chosen),
        lambda i, visit: encoder.run(chosen[i], visit), _digest(labels),
        tuple(seed_of(seed, label) for label in labels), _read(chosen), tuple(notes),
    )  # fmt: skip


def image_inputs(encoder: Any, paths: Iterable[str | os.PathLike[str]], *, seed: int) -> Inputs:
    """The pictures at `paths` (a folder stands for the pictures in it), each by itself, through `encoder`.

    `seed` and the contents of a file seed a picture.

    Raises BadInput when there is none, or the model reads no pictures.
    """
    if encoder.modality != "image":
        raise BadInput(f"`images` needs a model that reads images: `{encoder.name}` reads {encoder.modality}.")
    files = [file for path in paths for file in _pictures(Path(path))]
    if not files:
        raise BadInput(f"`images` must name pictures ({', '.join(PICTURES)}) or folders of them: none was found.")
    items = encoder.read_images(files)
    marks = [hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files]
    return Inputs(
        "images", encoder.dim, tuple(map(str, files)), tuple(item.tokens for item in items),
        lambda i, visit: encoder.run(items[i], visit), _digest(marks), tuple(seed_of(seed, mark) for mark in marks),
        _read(items),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Saved:
    """The tokens `state` at a layer; nothing is known of attention."""

    state: np.ndarray
    attended: None = None
    attention: None = None


def state_inputs(source: SavedStates, *, seed: int) -> Inputs:
    """The saved sequences of `source`; their output is the mean of the last states. `seed` and its name seed one."""
    sequences = list(source.sequences.values())

    def run(i: int, visit: Visit | None) -> np.ndarray:
        for layer, state in enumerate(sequences[i]):
            if visit is not None:
                visit(layer, _Saved(state))
        return np.asarray(sequences[i][-1].mean(axis=0, dtype=np.float64), np.float32)

    sizes = tuple(states.shape[1] for states in sequences)
    names = tuple(source.sequences)
    return Inputs(
        "states", source.dim, names, sizes, run, source.fingerprint, tuple(seed_of(seed, name) for name in names)
    )


def read_passages(text: Any) -> tuple[str, ...]:
    """The passages of `text`: a file with one a line, or a sequence of strings. Empty lines do not count.

    Raises BadInput when the file is missing, cannot be read as UTF-8, or nothing is left.
    """
    if isinstance(text, str | os.PathLike):
        lines, where = _lines(Path(text)), f"the file `{os.fspath(text)}`"
    elif not isinstance(text, Iterable):
        raise BadInput(f"`text` must be a file or strings: {type(text).__name__} was found.")
    else:
        given: list[Any] = list(text)
        if wrong := [line for line in given if not isinstance(line, str)]:
            raise BadInput(f"`text` must be a file or strings: {type(wrong[0]).__name__} was found among them.")
        lines, where = given, "`text`"
    passages = tuple(line.strip() for line in lines if line.strip())
    if not passages:
        raise BadInput(f"`text` must hold at least one passage: {where} is empty; write one passage a line.")
    return passages


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise BadInput(f"`text` must be a file with one passage a line: there is no file `{path}`; check the path.")
    try:
        return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")  # no other character ends a line
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"`text` must be a text file in UTF-8: `{path}` cannot be read ({error}).") from error


def _pictures(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
    if not path.is_file():
        raise BadInput(f"`images` must name files or folders: there is none at `{path}`.")
    return [path]


def _plural(modality: str) -> str:
    return "images" if modality == "image" else modality


def _memory() -> float:
    """Bytes of memory of this machine; infinity where nobody says."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def seed_of(seed: int, mark: int | str) -> int:
    """A seed for the input that `mark` names, drawn from `seed`: the same wherever the input stands."""
    own = mark if isinstance(mark, int) else int.from_bytes(hashlib.blake2b(mark.encode(), digest_size=8).digest())
    return int(np.random.SeedSequence([seed, own]).generate_state(1)[0])


def _read(items: Sequence[Any]) -> str:
    """What tells the arrays that the `items` give to the network."""
    digest = hashlib.blake2b(digest_size=16)
    for item in items:
        for name, array in sorted(item.inputs().items()):
            digest.update(f"{name} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()
