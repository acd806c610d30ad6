"""Compiled plans: orders in 1/L, tokens at the target, finite attention, PyTorch beside NumPy."""

from __future__ import annotations

import time

import numpy as np

import attnflow as af
from attnflow.doors.steering.plan import Plan
from attnflow.doors.steering.study import network_study
from attnflow.flow.outcome import Basis
from attnflow.reachability.law import Controls, Steps
from attnflow.reachability.motion import follow

from .report import Row
from .timing import race

METHODS = (af.Rotation(), af.ConstantControls(), af.McCann(), af.PaperConstruction())
LAYERS = (4, 8, 16, 32, 64, 128)


def gaussian(rng: np.random.Generator, d: int, r: int) -> af.Gaussian:
    """A random Gaussian whose variances span a factor of 16."""
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0][:, :r]
    return af.Gaussian.from_factor(rng.normal(size=d), axes * np.geomspace(0.5, 2.0, r))


def followed(rng: np.random.Generator, d: int, r: int) -> Plan:
    """Random controls in four steps, and the Gaussian where SciPy takes them: a plan that follows no path."""
    while True:
        start, parts = gaussian(rng, d, r), (rng.normal(size=(4, d, d)) / (4 * d) for _ in range(3))
        law = Steps(np.linspace(0.0, 1.0, 5), Controls(*parts, rng.normal(size=(4, d))))
        motion = follow(law, start.mean, start.factor, 1.0).motion
        if motion is not None:
            end = af.Gaussian.from_factor(motion.mean(1.0), motion.factor(1.0))
            return Plan(start, end, 1.0, "steps", law, motion, Basis.NUMERICAL, 1e-6, af.reachable(start, end))


def rows(*, quick: bool = False) -> list[Row]:
    return [*_orders(quick=quick), *_sampled(quick=quick), *_finite(quick=quick), *_speed(quick=quick)]


def _orders(*, quick: bool) -> list[Row]:
    rng, sizes = np.random.default_rng(7), ((4, 4), (8, 3)) if quick else ((2, 1), (4, 4), (8, 3), (16, 16), (32, 5))
    exact, euler, general, first = 0.0, [], [], []
    for d, r in sizes:
        for method in METHODS:
            plan = af.steer(gaussian(rng, d, r), gaussian(rng, d, r), method=method)
            orders = network_study(plan, LAYERS, ()).orders
            exact = max(exact, orders["exponential"].largest)
            euler += [] if orders["euler"].cov is None else [orders["euler"].cov]
        orders = network_study(followed(rng, d, r), (16, 32, 64, 128), ()).orders
        general.append(orders["exponential"].cov or 0.0)
        first.append(orders["euler"].cov or 0.0)
    detail = f"{len(euler)} plans, L = 4 to 128, orders {min(euler):.2f} to {max(euler):.2f}"
    return [
        Row("exact plans, exponential: largest error, any L", exact, 1e-11, False),
        Row("exact plans, Euler: smallest order in 1/L", min(euler), 0.9, detail=detail),
        Row("other plans, exponential: smallest order", min(general), 1.9, detail=f"to {max(general):.2f}"),
        Row("other plans, Euler: smallest order", min(first), 0.9, detail=f"to {max(first):.2f}"),
    ]


def _sampled(*, quick: bool) -> list[Row]:
    rng, worst = np.random.default_rng(8), {"mean": 0.0, "cov": 0.0}
    sizes = (2, 8) if quick else (2, 4, 8, 16, 32)
    for d in sizes:
        plan = af.steer(gaussian(rng, d, d), gaussian(rng, d, d))
        moments = network_study(plan, (64,), (16384,), seed=d).by_tokens[0].moments
        worst["mean"] = max(worst["mean"], moments.mean_error / moments.mean_floor)
        worst["cov"] = max(worst["cov"], moments.cov_error / moments.cov_floor)
    what = "L = 64, n = 16384, default plan: error of the {} / of sampling"
    return [Row(what.format(name), ratio, 2.0, False, f"d = {sizes}") for name, ratio in worst.items()]


def _finite(*, quick: bool) -> list[Row]:
    """What finitely many tokens do to the plan of the paper, B = cov^+, beside the default one."""
    found, counts = [], (1024, 4096) if quick else (1024, 4096, 16384)
    for d in (2,) if quick else (2, 4):
        rng = np.random.default_rng(9)
        start, target = gaussian(rng, d, d), gaussian(rng, d, d)
        for method in (af.Rotation(), af.PaperConstruction()):
            study = network_study(af.steer(start, target, method=method), (64,), counts, seed=1)
            apart = [row.finite_n for row in study.by_tokens]
            detail = ", ".join(f"n = {row.moments.n}: {row.finite_n:.2g}" for row in study.by_tokens)
            bar = 0.05 if isinstance(method, af.Rotation) else np.inf
            found.append(Row(f"d = {d}, {study.method}: tokens away from the limit", apart[-1], bar, False, detail))
    return found


def _speed(*, quick: bool) -> list[Row]:
    import torch

    rng, n = np.random.default_rng(10), 2048 if quick else 8192
    torch.set_num_threads(1)
    plan = af.steer(gaussian(rng, 8, 8), gaussian(rng, 8, 8), method=af.PaperConstruction())
    net = plan.compile(layers=4)
    module, tokens = net.to_torch(), rng.normal(size=(n, 8))
    given = torch.tensor(tokens)
    taken = race({"numpy": lambda: net.apply(tokens), "torch": lambda: module(given)}, rounds=3)
    wanted = net.apply(tokens)
    difference = float(np.abs(module(given).numpy() - wanted).max() / np.abs(wanted).max())
    big = af.steer(gaussian(rng, 256, 256), gaussian(rng, 256, 256))
    begin = time.process_time()
    compiled = big.compile(layers=64)
    seconds = time.process_time() - begin
    detail = ", ".join(f"{name} {t:.3g} s" for name, t in taken.items())
    return [
        Row(
            f"4 attending layers, n = {n}, d = 8: PyTorch / NumPy", taken["torch"] / taken["numpy"], 0.8, detail=detail
        ),
        Row("  ... largest relative difference", difference, 1e-12, False),
        Row("compile d = 256 into 64 layers: seconds", seconds, 2.0, False),
        Row("  ... error at Gaussians", compiled.error.cov_error if compiled.error else np.inf, 1e-11, False),
    ]
