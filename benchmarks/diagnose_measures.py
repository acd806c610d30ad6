"""The measurements of `diagnose` on Gaussian tokens, against the bare forward pass of the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnflow.diagnostics.attention import Attention, Keys
from attnflow.diagnostics.prediction import predict_attention
from attnflow.diagnostics.state import measure_state
from attnflow.measures.sliced import unit_directions

from .memory import extra_peak
from .report import Row
from .timing import race

DIRECTIONS = 256
LAYERS, HEADS, WIDTH = 6, 12, 32


def rows(*, quick: bool = False) -> list[Row]:
    found = _forward(4096) + _text()
    return found if quick else found + _large()


def _forward(n: int) -> list[Row]:
    """All states and predictions of six layers of the size of MiniLM, beside the layers alone, in PyTorch."""
    import torch
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    d = HEADS * WIDTH
    config = BertConfig(hidden_size=d, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=4 * d)
    encoder = BertModel(config, add_pooling_layer=False).eval().encoder
    tokens = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    states = torch.from_numpy(tokens)[None]

    def bare() -> None:
        with torch.inference_mode():
            encoder(states)

    attention, axes = _attention(d, HEADS, Keys(), None), unit_directions(d, DIRECTIONS, 0)
    candidates: dict[str, Callable[[], object]] = {
        "forward": bare,
        "state": lambda: measure_state(tokens, axes),
        "prediction": lambda: predict_attention(attention, tokens, tokens),
    }
    taken = race(candidates, rounds=5)
    whole = (LAYERS + 1) * taken["state"] + LAYERS * taken["prediction"]
    shown = ", ".join(f"{name} {1e3 * seconds:.4g} ms" for name, seconds in taken.items())
    what = f"MiniLM, n = {n}: all measurements / bare forward"
    return [Row(what, whole / taken["forward"], 2.0, False, f"{shown}, in all {whole:.3g} s")]


def _text() -> list[Row]:
    """Milliseconds for one passage of each length, with the tables of expected weights at hand."""
    d = HEADS * WIDTH
    attention, axes = _attention(d, HEADS, Keys(), None), unit_directions(d, DIRECTIONS, 0)
    rng = np.random.default_rng(0)
    found = []
    for n, bar in ((12, 150.0), (40, 300.0), (200, 900.0)):
        tokens = rng.standard_normal((n, d), dtype=np.float32)
        candidates: dict[str, Callable[[], object]] = {
            "state": lambda tokens=tokens: measure_state(tokens, axes),
            "prediction": lambda tokens=tokens: predict_attention(attention, tokens, tokens),
        }
        taken = race(candidates, rounds=5)
        whole = 1e3 * ((LAYERS + 1) * taken["state"] + LAYERS * taken["prediction"])
        shown = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in taken.items())
        found.append(Row(f"MiniLM, a passage of {n} tokens, ms", whole, bar, False, shown))
    return found


def _large() -> list[Row]:
    """Seconds and memory at n = 8192, d = 768 for every kind of key set."""
    n, d, heads = 8192, 768, 12
    tokens = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    axes = unit_directions(d, DIRECTIONS, 0)
    angles = 1e4 ** (-np.arange(32) / 32)
    kinds = {
        "all": _attention(d, heads, Keys(), None),
        "causal": _attention(d, heads, Keys(after=0), None),
        "rotary": _attention(d, heads, Keys(), angles),
        "rotary window": _attention(d, heads, Keys(before=64, after=64), angles),
    }
    candidates: dict[str, Callable[[], object]] = {"state": lambda: measure_state(tokens, axes)} | {
        name: lambda attention=attention: predict_attention(attention, tokens, tokens)
        for name, attention in kinds.items()
    }
    memory = extra_peak(candidates["rotary"])
    taken = race(candidates, rounds=3)
    found = [Row(f"n = {n}, d = {d}: {name}, s", seconds, 10.0, False) for name, seconds in taken.items()]
    return [*found, Row(f"n = {n}, d = {d}: extra memory of rotary, GB", memory / 2**30, 2.0, False)]


def _attention(d: int, heads: int, keys: Keys, rotary: np.ndarray | None) -> Attention:
    """Heads with logits of variance about one on normal tokens."""
    rng = np.random.default_rng(1)
    k = d // heads

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32) / np.sqrt(np.float32(d))

    weights = (drawn(heads, k, d), drawn(heads, k, d), drawn(heads, k, d), drawn(heads, d, k))
    biases = (drawn(heads, k), drawn(heads, k), drawn(heads, k), drawn(d))
    return Attention(*weights, *biases, k**-0.5, keys, rotary)
