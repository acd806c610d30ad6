"""Distances of tokens to a Gaussian in closed form, against PyTorch and POT with a sample of the Gaussian."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np

from attnflow.doors import distances
from attnflow.measures.gaussian import Gaussian

from .memory import extra_peak
from .report import Row
from .timing import race

N = 8192
WORKLOADS = ((384, 512), (768, 512), (768, 256))
"""Dimension and number of directions."""


def rows(*, quick: bool = False) -> list[Row]:
    found = [] if quick else _memory()  # first, while nothing that was freed can be used again
    for d, directions in WORKLOADS[:1] if quick else WORKLOADS:
        points, gaussian, peer = _problem(2048 if quick else N, d)
        found += _sliced(points, gaussian, peer, directions)
        if directions == 512:
            found += _mmd(points, gaussian, peer)
    return found


def _problem(n: int, d: int) -> tuple[np.ndarray, Gaussian, np.ndarray]:
    """Tokens in float32 with the spectrum 1 / k, their Gaussian, and a sample of it of the same size for the peers."""
    rng = np.random.default_rng(d)
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    factor = turn * np.sqrt(1 / np.arange(1, d + 1))
    points, peer = (rng.standard_normal((n, d)) @ factor.T for _ in range(2))
    return points.astype(np.float32), Gaussian(np.zeros(d), factor), peer.astype(np.float32)


def _sliced(points: np.ndarray, gaussian: Gaussian, peer: np.ndarray, directions: int) -> list[Row]:
    import torch

    torch.set_num_threads(1)
    n, d = points.shape
    X, G = (torch.from_numpy(x) for x in (points, peer))

    def sampled() -> float:
        theta = torch.randn(d, directions, generator=torch.Generator().manual_seed(0))
        theta /= theta.norm(dim=0)
        return float(torch.sqrt(torch.mean((torch.sort(X @ theta, 0)[0] - torch.sort(G @ theta, 0)[0]) ** 2)))

    left = np.random.default_rng(1).standard_normal((directions, d)).astype(np.float32)
    candidates: dict[str, Callable[[], object]] = {
        "attnflow": lambda: distances.sliced_wasserstein(points, gaussian, projections=directions),
        "torch": sampled,
        "the product alone": lambda: left @ points.T,
    }
    if importlib.util.find_spec("ot"):
        import ot

        candidates["POT"] = lambda: ot.sliced_wasserstein_distance(points, peer, n_projections=directions, seed=0)
    taken = race(candidates, rounds=5)
    what = f"sliced, n = {n}, d = {d}, {directions} directions"
    detail = ", ".join(f"{name} {1e3 * t:.4g} ms" for name, t in taken.items())
    ours = taken["attnflow"]
    exact = distances.sliced_wasserstein(points.astype(np.float64), gaussian, projections=directions)
    values = {name: float(run()) for name, run in candidates.items() if name != "the product alone"}  # type: ignore[arg-type]
    floor = distances.sliced_wasserstein_floor(n, gaussian)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    found = [Row(f"{what}: torch, sampled / attnflow", taken["torch"] / ours, 15.0, detail=detail)]
    if "POT" in taken:
        found.append(Row(f"{what}: POT, sampled / attnflow", taken["POT"] / ours, 35.0))
    return [
        *found,
        Row(f"{what}: attnflow / its matrix product", ours / taken["the product alone"], 2.5, False),
        Row(f"{what}: deviation from float64", abs(values["attnflow"] / exact - 1), 1e-4, False),
        Row(f"{what}: value / floor", values["attnflow"] / floor, 1.2, False, f"floor {floor:.4g}, values {shown}"),
    ]


def _mmd(points: np.ndarray, gaussian: Gaussian, peer: np.ndarray) -> list[Row]:
    import torch

    n, d = points.shape
    h = float(np.sqrt(np.sum(np.square(gaussian.factor))))
    X, G = (torch.from_numpy(x) for x in (points, peer))

    def kernel(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        return torch.exp(torch.cdist(one, two).square_().mul_(-0.5 / h**2)).mean(dtype=torch.float64)

    def sampled() -> float:
        return float(kernel(X, X) + kernel(G, G) - 2 * kernel(X, G))

    def products() -> None:
        for i in range(0, n, 512):
            for j in range(i, n, 512):
                points[i : i + 512] @ points[j : j + 512].T

    candidates: dict[str, Callable[[], object]] = {
        "attnflow": lambda: distances.mmd_squared(points, gaussian),
        "torch": sampled,
        "the products alone": products,
    }
    taken = race(candidates, rounds=3)
    values = {name: float(candidates[name]()) for name in ("attnflow", "torch")}  # type: ignore[arg-type]
    exact = distances.mmd_squared(points.astype(np.float64), gaussian)
    floor = distances.mmd_squared_floor(n, gaussian)
    detail = ", ".join(f"{name} {1e3 * t:.4g} ms" for name, t in taken.items())
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    what, ours = f"MMD^2, n = {n}, d = {d}", taken["attnflow"]
    return [
        Row(f"{what}: torch, sampled / attnflow", taken["torch"] / ours, 7.0, detail=detail),
        Row(f"{what}: attnflow / its matrix products", ours / taken["the products alone"], 2.1, False),
        Row(f"{what}: deviation from float64", abs(values["attnflow"] / exact - 1), 2e-3, False),
        Row(f"{what}: value / floor", values["attnflow"] / floor, 1.2, False, f"floor {floor:.4g}, values {shown}"),
    ]


def _memory() -> list[Row]:
    points, gaussian, _ = _problem(N, 768)
    distances.mmd_squared(points[:600], gaussian)
    megabytes = extra_peak(lambda: distances.mmd_squared(points, gaussian)) / 2**20
    return [Row(f"MMD^2, n = {N}, d = 768: extra memory of the call (MB)", megabytes, 160.0, False)]
