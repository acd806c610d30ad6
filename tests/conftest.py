"""Shared fixtures. The package is not imported here, so that the runtime shape checks can hook its first import."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `oracles` and `golden` import the same way under every import mode


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator: every test sees the same numbers in every run and order."""
    return np.random.default_rng(20260)


@pytest.fixture
def x64():
    """Double precision inside the test only: the suite runs with JAX's global setting off, as users have it."""
    import jax

    with jax.enable_x64(True):
        yield
