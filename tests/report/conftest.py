"""Trajectories to draw, made by formulas that the package does not use."""

import numpy as np
import pytest
from scipy.linalg import expm


@pytest.fixture(autouse=True)
def no_pyplot_state(monkeypatch):
    """Drawing leaves the global style and pyplot alone."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.fixture
def planar():
    """A turning, shrinking Gaussian in the plane: ts (t,), mean (t, 2), cov (t, 2, 2)."""
    ts = np.linspace(0.0, 3.0, 61)
    flow = np.array([expm(t * np.array([[-0.4, -1.3], [0.9, -0.1]])) for t in ts])
    cov = flow @ np.array([[0.7, 0.25], [0.25, 0.4]]) @ flow.transpose(0, 2, 1)
    return ts, flow @ np.array([1.0, -2.0]), 0.5 * (cov + cov.transpose(0, 2, 1))


@pytest.fixture
def low_rank(rng):
    """Rank 2 in dimension 5."""
    ts = np.linspace(0.0, 2.0, 41)
    generator = rng.normal(size=(5, 5)) / 3.0
    factor = rng.normal(size=(5, 2))
    flow = np.array([expm(t * generator) for t in ts])
    return ts, flow @ rng.normal(size=5), flow @ factor @ factor.T @ flow.transpose(0, 2, 1)
