"""Whether a block is trusted over all inputs: exactly Gaussian tokens are, others are not, whatever chance does."""

import numpy as np
import pytest

from attnflow.diagnostics.attention import Attention
from attnflow.doors.diagnosis.row import Measuring
from attnflow.doors.diagnosis.validity import validity
from attnflow.measures.sliced import unit_directions

H, K, D = 2, 4, 12


def some_heads(rng, scale):
    def drawn(*shape):
        return rng.standard_normal(shape).astype(np.float32) / np.sqrt(D)

    zeros = np.zeros((H, K), np.float32)
    return Attention(
        query=scale * drawn(H, K, D), key=drawn(H, K, D), value=drawn(H, K, D), output=drawn(H, D, K),
        query_bias=zeros, key_bias=zeros, value_bias=zeros, output_bias=np.zeros(D, np.float32), scale=1.0,
    )  # fmt: skip


def attended(heads, x):
    logits = np.einsum("hkd,id,hke,je->hij", heads.query, x, heads.key, x, optimize=True)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return np.einsum("hek,hkd,hij,jd->ie", heads.output, heads.value, weights, x, optimize=True).astype(np.float32)


class Inside:
    def __init__(self, heads, x):
        self.state = self.attended = x
        self.attention = attended(heads, x)


def rows_of(heads, draw, count, draws=1):
    rows = []
    for i in range(count):
        visit = Measuring((heads,), np.asarray(unit_directions(D, 8, 0)), seed=i, draws=draws)
        visit(0, Inside(heads, draw(np.random.default_rng([7, i]))))
        rows.append(visit.row())
    return rows


@pytest.mark.parametrize(("n", "count"), [(24, 40), (60, 16), (200, 8)])
def test_exactly_gaussian_tokens_are_trusted_over_many_inputs_although_single_ones_are_not(n, count):
    heads = some_heads(np.random.default_rng(1), 1.5)
    rows = rows_of(heads, lambda rng: rng.standard_normal((n, D)).astype(np.float32), count)
    holds, reasons = validity(rows)
    assert holds[0], reasons[0]
    assert str(reasons[0]).startswith("R^2 is")


def test_tokens_of_another_law_are_not_and_the_reason_holds_the_medians():
    heads = some_heads(np.random.default_rng(1), 1.5)

    def heavy(rng):
        lengths = np.where(rng.random(80) < 0.95, 0.3, 4.0)
        return (lengths[:, None] * rng.standard_normal((80, D))).astype(np.float32)

    rows = rows_of(heads, heavy, 16)
    holds, reasons = validity(rows)
    assert not holds[0]
    median = np.median([row["r2_finite_n"][0] for row in rows])
    assert f"R^2 is {median:.2f}" in reasons[0]


def test_a_few_inputs_are_judged_one_by_one_with_what_chance_does_to_a_ceiling():
    heads = some_heads(np.random.default_rng(1), 1.5)
    rows = rows_of(heads, lambda rng: rng.standard_normal((80, D)).astype(np.float32), 3, draws=4)
    holds, _ = validity(rows)
    assert holds[0] == (sum(bool(row["trusted"][0]) for row in rows) >= 2)


def test_heads_that_nobody_knows_have_the_reason_that_was_given():
    heads = some_heads(np.random.default_rng(1), 1.5)
    rows = []
    for i in range(3):
        visit = Measuring(("saved states",), np.asarray(unit_directions(D, 8, 0)), seed=i)
        visit(0, Inside(heads, np.random.default_rng(i).standard_normal((20, D)).astype(np.float32)))
        rows.append(visit.row())
    holds, reasons = validity(rows)
    assert not holds[0]
    assert reasons[0] == "saved states"
