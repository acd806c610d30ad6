"""Shared fixtures. The package is not imported here, so that the runtime shape checks can hook its first import."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `oracles` and `golden` import the same way under every import mode

HURRY = ["--xla_backend_optimization_level=0"]
"""The programs of the tests run for milliseconds, so XLA spends no time on making them fast: a third of the time.

XLA_FLAGS="--xla_backend_optimization_level=3" runs the tests with the compiler as users have it.
"""
if importlib.metadata.version("jaxlib").startswith("0.10."):  # another version may end the process at an unknown flag
    HURRY.append("--xla_cpu_use_fusion_emitters=false")
if HURRY[0].split("=")[0] not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = " ".join([*HURRY, os.environ.get("XLA_FLAGS", "")])


MAPPED_REGIONS = Path("/proc/self/maps")
MANY_REGIONS = 20_000
"""Linux allows a process 65,530 mapped regions; past them the compiler of JAX dies with a segmentation fault."""


@pytest.fixture(scope="module", autouse=True)
def _compiled_functions_are_let_go():
    """Every compiled function keeps some mapped regions for as long as JAX holds it in a cache."""
    yield
    jax = sys.modules.get("jax")
    if jax is not None and MAPPED_REGIONS.exists():
        with MAPPED_REGIONS.open() as regions:
            many = sum(1 for _ in regions) > MANY_REGIONS
        if many:
            jax.clear_caches()
            gc.collect()


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
