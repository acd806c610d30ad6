"""Words that would be false at the edges: chance, rounding, equal tokens, gains of norms, all tokens together."""

import numpy as np
import pytest

from attnflow.diagnostics.pairing import Outputs, Overlap, pair_outputs
from attnflow.doors.diagnosis.verdict_finding import Kind, percent
from oracles.verdict_data import DIM, FLAT, judge, name_massive, pairing, quiet, texts


def test_a_trace_that_grows_unevenly_has_an_average_and_its_largest_step():
    found = judge(quiet(cov_trace=np.cumprod([40.0, 4.6e7, 20.0, 20.0, 20.0, 20.0, 20.0]), noise=0.0))
    assert found.line.startswith("trace grows 40 to 5.89e15 from layer 0 to 6: blows up")
    rate = (4.6e7 * 20.0**5) ** (1 / 6)
    assert f"{rate:.0f} times a layer on average (largest step 4.60e7, layer 1)" in texts(found)
    assert "in each layer" not in texts(found)


def test_what_the_gains_of_the_norms_do_to_the_trace_is_measured():
    trace = np.array([39.0, 500.0, 1e4, 1e6, 1e8, 1e10, 4e11])
    found = judge(quiet(cov_trace=trace, noise=0.0), bounded_by_norm=True)
    assert "the trace goes from 39 to 4.00e11 from layer 0 to 6: the gains of the norms" in texts(found)
    assert texts(found, Kind.CONSTRUCTION).endswith("fixes the size of a token up to the gain of that norm")
    steady = judge(quiet(cov_trace=np.linspace(39.0, 300.0, 7), noise=0.0), bounded_by_norm=True)
    assert "the trace" not in texts(steady)
    assert texts(steady, Kind.CONSTRUCTION).endswith("a steady trace is no sign of stability")


def test_a_trace_that_falls_at_one_size_of_the_tokens_is_not_laid_to_the_gains():
    trace = np.array([300.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0])
    found = judge(quiet(cov_trace=trace, mean_norm=np.sqrt(384.0 - trace), noise=0.0), bounded_by_norm=True)
    assert "the trace goes from 300 to 5 from layer 0 to 6: |mean|^2 + trace changes by a factor of 1 only" in texts(
        found
    )
    assert "gains" not in texts(found)


def test_the_coordinate_that_comes_first_most_often_is_not_the_one_in_most_tokens():
    layers = quiet(massive_share=0.26 * FLAT, noise=0.0)
    layers["massive_share"][:, 4] = 0.27
    name_massive(layers, [[(157, 0.11), (63, 0.10)]] * 12 + [[(5, 0.2), (63, 0.19), (8, 0.1)]] * 8)
    found = texts(judge(layers))  # 157: 0.6 * 0.11 = 0.066; 5: 0.4 * 0.2 = 0.08; 63: 0.6 * 0.1 + 0.4 * 0.19 = 0.136
    assert (
        "massive activations in 27 % of the tokens at layer 4, from layer 0 on, mostly coordinate 63, in 14 %" in found
    )
    layers["massive_share"][:, 4] = 0.28
    assert ", most often coordinate 63, in 14 % of the tokens" in texts(judge(layers))
    layers["massive_channel"][0, 4] = [1, 2, 3]
    assert ", most often coordinate 63, in at least 13 % of the tokens" in texts(judge(layers))


def test_a_collapse_ends_where_the_plateau_begins_and_not_where_rounding_is_largest():
    cosine = np.array([0.2851, 0.285, 0.9993, 0.99999, 1.0, 0.999999, 1.0])
    found = judge(quiet(token_cosine=cosine, noise=0.0))
    assert found.line.startswith("token cosine rises 0.285 to 0.999 from layer 1 to 2: token collapse")


@pytest.mark.parametrize(
    ("trace", "mean", "words"),
    [
        (np.array([40.0, 20.0, 10.0, 0.0, 0.0, 0.0, 0.0]), np.array([1.0, 1, 1, 0, 0, 0, 0]), "zero from layer 3 on"),
        (np.array([40.0, 20.0, 10.0, 1e-12, 1e-12, 0, 0]), 30.0 * FLAT, "equal from layer 3 on"),
        (0.0 * FLAT, 0.0 * FLAT, "zero from layer 0 on"),
        (1e-14 * FLAT, 3.0 * FLAT, "equal from layer 0 on"),
        (np.array([0.0, 0.0, 10.0, 10.0, 20.0, 30.0, 40.0]), FLAT, "equal from layer 0 to 1"),
        (np.array([40.0, 40.0, 0.0, 40.0, 40.0, 40.0, 40.0]), FLAT, "equal at layer 2"),
    ],
)
def test_equal_tokens_are_a_collapse_and_nothing_else_is_said_of_them(trace, mean, words):
    equal = trace < 1e-9
    numbers = {
        "massive_share": 0.2 * equal,
        "token_cosine": np.where(equal & (mean > 0), 0.9, 0.05),
        "sliced_w2_scaled": 0.02 + 0.5 * equal,
    }
    layers = quiet(cov_trace=trace, mean_norm=mean, noise=0.0, **numbers)
    layers["sliced_w2_floor"] = layers["sliced_w2_floor"] * (trace > 0)  # rounding has a floor, and is far from it
    layers["spectrum"] = (("layer", "eigenvalue"), np.zeros((7, DIM)))
    found = judge(layers)
    assert f"all tokens are {words}" in texts(found)
    assert f"all tokens are {words}" in found.line
    assert "no collapse" not in found.line
    assert "massive" not in found.line + texts(found)
    assert "between 0 and 0" not in texts(found)
    assert ("all tokens are equal: no distribution to compare" in texts(found)) == equal.all()
    assert ("where the tokens are not all equal: no departure is seen" in texts(found)) != equal.all()


def test_tokens_of_no_rank_are_equal_and_a_single_token_is_not_called_so():
    layers = quiet(cov_trace=1e-9 * FLAT, noise=0.0)
    layers["numerical_rank"] = layers["cov_trace"] * 0
    layers["sliced_w2_floor"] = layers["sliced_w2_floor"] * 0
    assert judge(layers).line.startswith("all tokens are equal from layer 0 on; ")
    layers["tokens"][:] = 1
    assert "equal" not in judge(layers).line + texts(judge(layers))
    assert "a single token: no distribution to compare" in texts(judge(layers))


def test_a_rank_that_falls_within_sequences_while_they_move_apart_is_told_from_that_of_all():
    layers = quiet(effective_rank=np.array([12.0, 13.7, 13.0, 12.0, 11.0, 9.0, 8.0]), noise=0.0)
    assert "within a sequence the effective rank falls 13.7 to 8 from layer 1 to 6" in texts(judge(layers))
    for name, path in {
        "pooled_effective_rank": [85, 90, 100, 110, 120, 130, 140],
        "pooled_token_cosine": [0.06, 0.05, 0.05, 0.04, 0.04, 0.03, 0.03],
    }.items():
        layers[name] = ("layer", np.array(path, float))
    found = judge(layers)
    assert found.line.startswith("rank within a sequence falls 13.7 to 8 from layer 1 to 6: anisotropic concentration")
    together = "all tokens together: effective rank 90 to 140, cosine 0.05 to 0.03 from layer 1 to 6"
    assert f"{together}: sequences move apart" in texts(found)
    layers["pooled_token_cosine"][:] = 0.05
    assert together.replace("0.03", "0.05") + "\n" in texts(judge(layers))
    layers["pooled_effective_rank"][:] = np.linspace(140, 90, 7)
    same = judge(layers)
    assert same.line.startswith("rank falls 13.7 to 8 from layer 1 to 6")
    assert "all tokens together" not in texts(same)


@pytest.mark.parametrize("inputs", [12, 13, 20])
def test_unrelated_outputs_of_few_inputs_never_sound_good(inputs):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        found = judge(quiet(), pair_outputs(*(Outputs(rng.normal(size=(inputs, 6)), None) for _ in range(2))))
        assert found.line.startswith(
            ("no more neighbours kept than by chance (", "few neighbours kept beyond chance (")
        )
        assert f"by chance {percent(10 / (inputs - 1))})" in found.line
        assert "rotation" not in texts(found)


def test_what_many_inputs_keep_by_chance_is_not_called_kept():
    found = judge(quiet(), pairing(kept=0.03, drift=np.full(7, 0.9), start=0))  # 0.018 to 0.041, by chance 0.025
    assert found.line.startswith("no more neighbours kept than by chance (3 %, by chance 3 %); ")


def test_neighbours_that_chance_keeps_are_not_said_to_stay():
    drift = {"drift": np.full(7, 0.9), "start": 0}
    known = {"overlap": Overlap(10, np.full(13, 0.92), 0.92, 0.9, 0.94, 10 / 12), "inputs": 13}
    found = judge(quiet(), pairing(**drift, **known))  # (0.92 - 0.8333) / (1 - 0.8333) = 0.52
    assert found.line == "neighbours kept 92 % (83 % by chance); drift starts in the embeddings"
    assert "unrelated outputs: 83 %; beyond chance 52 % of what could be kept" in texts(found)
    assert "rotation" not in texts(found)
    all_kept = {"overlap": Overlap(10, np.ones(13), 1.0, 1.0, 1.0, 10 / 12), "inputs": 13}
    turned = judge(quiet(), pairing(**drift, **all_kept))
    assert turned.line.startswith("all neighbours kept (83 % by chance); ")
    assert "as after a rotation" in texts(turned)
    assert "rotation" in texts(judge(quiet(), pairing(kept=0.92, **drift)))
