"""`diagnose`: what a real network does to its tokens, and how far the Gaussian theory can be trusted there."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from ..._check import BadInput
from ...files.checkpoint import Checkpoint
from ..distance_arguments import whole
from ..interrupts import remembered_interrupts
from .diagnosis import Diagnosis, assemble
from .fields import available
from .gate import Gate, parse_gate
from .inputs import Inputs, gaussian_inputs, image_inputs, read_passages, state_inputs, text_inputs
from .looking import look_through
from .other import Other, open_other
from .source import SavedStates, is_states, open_source

ITEMS = 512
"""Gaussian tokens that are paired when two networks are compared on them."""
FORMAT = 2
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
    with remembered_interrupts() as stop:
        encoder = open_source(source, random_init=random_init, seed=start, tokenizer=tokenizer)
        stop()
        inputs = _inputs(encoder, passages, images, tokens=n, batches=count, seed=start)
        if isinstance(given := text if images is None else images, str | os.PathLike):
            inputs = dataclasses.replace(inputs, path=os.fspath(given))
        other = None
        if against is not None:
            other = open_other(against, encoder, inputs, kept=ITEMS, seed=start, tokenizer=tokenizer)
        if gate is not None:
            gate.require(_fields(encoder, inputs, other))
        stop()
        kept = None if resume is None else Path(resume) / f"{_key(encoder, inputs, other, start)}.npz"
        return _diagnosis(encoder, inputs, other, gate, Checkpoint(kept), stop, seed=start)


def _diagnosis(
    encoder: Any, inputs: Inputs, other: Other | None, gate: Gate | None, checkpoint: Checkpoint,
    stop: Callable[[], None], *, seed: int,
) -> Diagnosis:  # fmt: skip
    # small products: threads that share them cost more than they give, and much more on a busy machine
    with threadpool_limits(1 if inputs.real else None):
        seen = look_through(encoder, inputs, other, checkpoint, kept=ITEMS, stop=stop)
    with threadpool_limits(1):
        found = assemble(encoder, inputs, seen, other=other, gate=gate, seed=seed)
    if not seen.interrupted:
        checkpoint.remove()
    return found


def _inputs(
    encoder: Any, passages: tuple[str, ...] | None, images: Any, *, tokens: int, batches: int, seed: int
) -> Inputs:
    if isinstance(encoder, SavedStates):
        if passages is not None or images is not None:
            raise BadInput("`text` and `images` need a model: a file of hidden states was given as `source`.")
        return state_inputs(encoder, seed=seed)
    if passages is not None:
        return text_inputs(encoder, passages, seed=seed)
    if images is not None:
        paths = [images] if isinstance(images, str | os.PathLike) else list(images)
        return image_inputs(encoder, paths, seed=seed)
    return gaussian_inputs(encoder, tokens=tokens, batches=batches, seed=seed)


def _fields(encoder: Any, inputs: Inputs, other: Other | None) -> frozenset[str]:
    """What a gate may ask for, now that all sizes are known."""
    return available(
        compared=other is not None,
        real=inputs.real,
        predictions=any(not isinstance(attention, str) for attention in encoder.attentions),
        inputs=len(inputs.labels) if inputs.real else min(ITEMS, inputs.sizes[0]),
        same_output=other is not None and other.width == encoder.dim,
        same_layers=other is not None and other.shape == (encoder.layers, encoder.dim),
    )


def _key(encoder: Any, inputs: Inputs, other: Other | None, seed: int) -> str:
    """A name for the work: the same network, inputs and seeds, and the same version of what is measured."""
    parts = (FORMAT, encoder.fingerprint, inputs.kind, inputs.fingerprint, inputs.reading, seed)
    beside = None if other is None else (other.fingerprint, other.reading)
    return hashlib.blake2b(repr((parts, beside)).encode(), digest_size=12).hexdigest()
