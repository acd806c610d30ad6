"""Compiled plans in PyTorch: the same numbers as NumPy's, from the saved file alone, in a process of its own."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import attnflow as af
from attnflow.doors.steering.network import Network

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compile.md").read_text()


@pytest.fixture(scope="module")
def networks() -> dict[str, Network]:
    rng = np.random.default_rng(20261)
    start, target = (af.Gaussian.from_factor(rng.normal(size=3), 0.6 * rng.normal(size=(3, 2))) for _ in range(2))
    uniform = af.steer(start, target).compile(layers=6)
    skewed = 0.5 * rng.normal(size=(6, 3, 3))  # no symmetry: a transpose must show
    return {"uniform": uniform, "attending": dataclasses.replace(uniform, weights=uniform.weights | {"B": skewed})}


@pytest.fixture
def tokens(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(4, 150, 3))


@pytest.mark.parametrize("name", ["uniform", "attending"])
@pytest.mark.parametrize("trainable", [False, True])
def test_the_module_does_what_numpy_does_on_one_set_and_on_batches(name, trainable, networks, tokens):
    module = networks[name].to_torch().requires_grad_(trainable)
    wanted = networks[name].apply(tokens)
    for given, expected in ((tokens, wanted), (tokens[0], wanted[0]), (tokens.reshape(2, 2, 150, 3), wanted)):
        found = module(torch.tensor(given)).detach().numpy()
        assert found.shape == given.shape
        np.testing.assert_allclose(found, expected.reshape(given.shape), rtol=0, atol=1e-12 * np.abs(wanted).max())


def run(code: str, *arguments: object) -> None:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


FROM_FILE = """
import sys, numpy, torch
sys.modules["jax"] = None  # torch and safetensors are enough
from attnflow.networks.residual_stack import ResidualStack
stack = ResidualStack.from_file(sys.argv[1])
assert stack.info["scheme"] == "exponential" and len(stack.info["depths"]) == 7
tokens = torch.tensor(numpy.load(sys.argv[2]))
numpy.savez(sys.argv[3], batch=stack(tokens).numpy(), single=stack(tokens[0]).numpy())
"""

WITHOUT_US = """
import os, sys, numpy
sys.modules["attnflow"] = sys.modules["jax"] = None
os.chdir(os.path.dirname(sys.argv[1]))
{snippet}
tokens = torch.tensor(numpy.load(sys.argv[2]))
numpy.savez(sys.argv[3], batch=run_layers(tokens).numpy(), single=run_layers(tokens[0]).numpy())
"""


def snippet() -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if "load_file" in block)


@pytest.mark.parametrize("code", [FROM_FILE, WITHOUT_US.format(snippet=snippet())], ids=["our module", "plain torch"])
def test_another_process_moves_tokens_by_the_file_alone(code, networks, tokens, tmp_path):
    net = networks["attending"]
    net.save(tmp_path / "plan.safetensors")
    np.save(tmp_path / "tokens.npy", tokens)
    run(code, tmp_path / "plan.safetensors", tmp_path / "tokens.npy", tmp_path / "moved.npz")
    with np.load(tmp_path / "moved.npz") as moved:
        for name, given in (("batch", tokens), ("single", tokens[0])):
            wanted = net.apply(given)
            np.testing.assert_allclose(moved[name], wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_a_trained_module_sees_the_gradient_of_the_scores_at_zero(networks, tokens):
    """With B = 0 frozen the softmax is skipped; trained, its derivative must be there: checked by differences."""
    module = networks["uniform"].to_torch().requires_grad_()
    points = torch.tensor(tokens[0, :40])

    def loss() -> torch.Tensor:
        return (module(points) ** 3).mean()

    loss().backward()
    wanted = module.B.grad[2, 0, 1].item()
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            module.B[2, 0, 1] = step
            values.append(loss().item())
    assert abs(wanted) > 1e-4
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(wanted, rel=1e-5)


def test_parameters_have_the_names_of_the_file_and_can_be_cut_to_single_precision(networks, tokens):
    module = networks["attending"].to_torch()
    assert sorted(module.state_dict()) == ["A", "B", "V", "b"]
    assert not any(parameter.requires_grad for parameter in module.parameters())
    found = module.float()(torch.tensor(tokens, dtype=torch.float32)).numpy()
    wanted = networks["attending"].apply(tokens)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_the_module_does_not_share_memory_with_the_network(networks):
    net = networks["uniform"]
    before = net.weights["A"].copy()
    with torch.no_grad():
        net.to_torch().A.zero_()
    assert np.array_equal(net.weights["A"], before)


def test_a_file_of_other_weights_is_refused(tmp_path):
    from attnflow.networks.residual_stack import ResidualStack

    save_file({"A": np.eye(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="must hold A, B, V and b: B, V, b"):
        ResidualStack.from_file(tmp_path / "other.safetensors")
