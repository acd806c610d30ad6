"""The constant of Proposition 2.3 and the sharp slope against the golden cases."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow import Gaussian, Transformer
from attnflow.doors.relu_defect import relu_defect
from attnflow.moments.relu import ReLU
from attnflow.transformer.feedforward import FeedForward
from golden import load


def defect_of(inputs: dict):
    layer = FeedForward(np.array(inputs["A"]), np.array(inputs["b"]), activation=ReLU())
    return relu_defect(Transformer(feedforward=layer), Gaussian.from_moments(inputs["mu0"], inputs["Sigma0"]))


@pytest.mark.parametrize("case", load("relu_gap"), ids=lambda case: case["name"])
def test_the_constant_has_the_golden_value(case):
    assert float(defect_of(case["inputs"])) == pytest.approx(case["expected"]["value"], rel=case["rtol"])


@pytest.mark.parametrize("case", load("w2_slope"), ids=lambda case: case["name"])
def test_bound_and_sharp_slope_have_the_golden_values_and_the_mean_is_below_both(case):
    found, expected = defect_of(case["inputs"]), case["expected"]
    assert found.bound == pytest.approx(expected["bound_slope"], rel=case["rtol"])
    assert found.slope == pytest.approx(expected["true_slope"], rel=case["rtol"])
    assert expected["mean_lower_bound"] < found.slope < found.bound
