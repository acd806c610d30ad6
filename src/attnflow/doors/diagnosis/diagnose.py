"""`diagnose`: what a real network does to its tokens, and how far the Gaussian theory can be trusted there."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..._check import BadInput
from ...files.checkpoint import Checkpoint
from ...measures.sliced import unit_directions
from ..distance_arguments import whole
from ..progress import progress_bar
from .diagnosis import Diagnosis, assemble
from .fields import available
from .gate import parse_gate
from .inputs import Inputs, gaussian_inputs, image_inputs, read_passages, state_inputs, text_inputs
from .other import Other, open_other
from .pool import shares
from .row import Measuring, Row, chosen
from .source import SavedStates, is_states, open_source

DIRECTIONS = 256
ITEMS = 512
"""Gaussian tokens that are paired when two networks are compared on them."""
PATIENCE = 20.0
"""Seconds between two checkpoints."""
FORMAT = 1
"""Grows when what is kept of a finished batch changes."""


def diagnose(
    source: Any,
    text: str | os.PathLike[str] | Sequence[str] | None = None,
    tokens: int = 8192,
    batches: int = 20,
    seed: int = 0,
    against: Any = None,
    fail_on: str | None = None,
    *,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    random_init: bool = False,
    tokenizer: Any = None,
    resume: str | os.PathLike[str] | None = None,
) -> Diagnosis:
    """Measure a real network layer by layer, and hold the Gaussian theory against it.

    `source` is a Hugging Face id, a local folder, a live `torch.nn.Module` (with its `tokenizer` for text), or a file
    of hidden states (.npz or .safetensors, one array (layers + 1, n, d) a sequence). With `random_init` it is a
    configuration (a folder, a config.json, a model type such as "modernbert") and the weights are drawn with `seed`.

    What goes through it: `text`, a file with one passage a line or a sequence of strings; `images`, files or folders;
    or, when neither is given, `batches` clouds of `tokens` independent standard Gaussian tokens straight into the first
    block. Those are a probe: the verdict on real input needs real input. Passages and images go one by one, so that no
    padding is measured.

    `against` is another network, or a diagnosis of one (the object or its .nc file): the same inputs are paired through
    both. `fail_on` is a gate such as "overlap10 < 0.95" on the fields of docs/diagnose-fields.md; `tripped` of the
    result says whether it closed. `resume` is a folder in which finished inputs are kept when Ctrl-C ends the work (the
    result then holds them, with the status `interrupted`); the same call takes them up again.

    Raises BadInput, before any long work, when an argument breaks a rule, the family is not supported, or attention and
    blocks recomputed from the weights do not agree with the network's own.

    Source: :cite:alcalde2026, Section 5.2; this package, docs/theory/diagnose.md.
    """
    gate = None if fail_on is None else parse_gate(fail_on)
    if text is not None and images is not None:
        raise BadInput("`text` and `images` exclude each other: both were given; diagnose them one after the other.")
    passages = None if text is None else read_passages(text)
    n, count = whole("tokens", tokens, least=2), whole("batches", batches, least=1)
    start = whole("seed", seed, least=0)
    real = passages is not None or images is not None
    if gate is not None:
        gate.require(available(compared=against is not None, real=real or is_states(source)))
    encoder = open_source(source, random_init=random_init, seed=start, tokenizer=tokenizer)
    inputs = _inputs(encoder, passages, images, tokens=n, batches=count, seed=start)
    other = None
    if against is not None:
        other = open_other(against, encoder, inputs, kept=ITEMS, seed=start, tokenizer=tokenizer)
    if gate is not None:
        gate.require(_fields(encoder, inputs, other))
    key = _key(encoder, inputs, other, start)
    checkpoint = Checkpoint(None if resume is None else Path(resume) / f"{key}.npz")
    axes = np.asarray(unit_directions(encoder.dim, DIRECTIONS, start))
    # small products: threads that share them cost more than they give, and much more on a busy machine
    with threadpool_limits(1 if inputs.real else None):
        rows, interrupted = _measure(encoder, inputs, other, checkpoint, axes=axes, seed=start)
    with threadpool_limits(1):
        found = assemble(
            encoder, inputs, rows, axes, other=None if other is None else other.name, gate=gate, seed=start,
            interrupted=interrupted,
        )  # fmt: skip
    if not interrupted:
        checkpoint.remove()
    return found


def _inputs(
    encoder: Any, passages: tuple[str, ...] | None, images: Any, *, tokens: int, batches: int, seed: int
) -> Inputs:
    if isinstance(encoder, SavedStates):
        if passages is not None or images is not None:
            raise BadInput("`text` and `images` need a model: a file of hidden states was given as `source`.")
        return state_inputs(encoder)
    if passages is not None:
        return text_inputs(encoder, passages)
    if images is not None:
        return image_inputs(encoder, [images] if isinstance(images, str | os.PathLike) else list(images))
    return gaussian_inputs(encoder, tokens=tokens, batches=batches, seed=seed)


def _fields(encoder: Any, inputs: Inputs, other: Other | None) -> frozenset[str]:
    """What a gate may ask for, now that all sizes are known."""
    return available(
        compared=other is not None,
        real=inputs.real,
        predictions=any(not isinstance(attention, str) for attention in encoder.attentions),
        inputs=len(inputs.labels) if inputs.real else min(ITEMS, inputs.sizes[0]),
        same_layers=other is not None and other.shape == (encoder.layers, encoder.dim),
    )


def _measure(
    encoder: Any, inputs: Inputs, other: Other | None, checkpoint: Checkpoint, *, axes: np.ndarray, seed: int
) -> tuple[list[Row], bool]:
    """The rows of all inputs, or, after an interrupt, of the first ones; and whether there was one."""
    count, depth, attentions = len(inputs.labels), encoder.layers + 1, encoder.attentions
    rows = {i: row for i, row in checkpoint.read().items() if i < count}
    kept = shares(inputs.sizes) if inputs.real else (ITEMS,) + (0,) * (count - 1)
    written, done = time.monotonic(), len(rows) * depth
    interrupted = False
    with progress_bar(count * depth, words=f"{encoder.name}: layers") as report:

        def step() -> None:
            nonlocal done
            done += 1
            report(done)

        try:
            for i in range(count):
                if i in rows:
                    continue
                row = _row(attentions, inputs, i, axes=axes, seed=seed, kept=kept[i], on_layer=step)
                rows[i] = row if other is None else row | other.look(i)
                if time.monotonic() - written > PATIENCE:
                    checkpoint.write(rows)
                    written = time.monotonic()
        except KeyboardInterrupt:
            if not rows:
                raise
            checkpoint.write(rows)
            interrupted = True
    return [rows[i] for i in sorted(rows)], interrupted


def _row(attentions: Any, inputs: Inputs, i: int, *, axes: np.ndarray, seed: int, kept: int, on_layer: Any) -> Row:
    """The measurements of input number i, with what a comparison needs of it."""
    own = seed if inputs.kind == "gaussian" and i == 0 else _seed(seed, i)
    visit = Measuring(attentions, axes, seed=own, kept=kept, on_layer=on_layer)
    began = time.perf_counter()
    output = inputs.run(i, visit)
    forward = time.perf_counter() - began - visit.seconds
    row = visit.row() | {"seconds": np.array([forward, visit.seconds])}
    if inputs.real:
        return row | {"item_state": row["layer_mean"][None], "item_output": np.atleast_2d(output)}
    rows = chosen(inputs.sizes[i], kept, own)
    return row | {"item_state": np.moveaxis(row["sample"], 0, 1), "item_output": output[rows]}


def _seed(seed: int, i: int) -> int:
    """A seed for input number i that no other input shares."""
    return int(np.random.SeedSequence([seed, i]).generate_state(1)[0])


def _key(encoder: Any, inputs: Inputs, other: Other | None, seed: int) -> str:
    """A name for the work: the same network, inputs and seeds, and the same version of what is measured."""
    parts = (FORMAT, encoder.fingerprint, inputs.kind, inputs.fingerprint, seed, other and other.fingerprint)
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
