"""`python -m benchmarks [--quick] [name ...]`: the table of figures and bars, on one core."""

from __future__ import annotations

import os
import sys

NAMES = (
    "general_flow", "closed_form", "low_rank", "tokens", "rank_histograms", "equilibria", "falsify_claims",
    "steering", "compiled_plans", "constrained_steering", "distances", "mlp_moments", "closure_errors",
    "diagnose_measures", "diagnose_whole", "cold_start",
)  # fmt: skip
PINNED = "ATTNFLOW_BENCHMARK_PINNED"


def _pin() -> None:
    """Start again with one thread everywhere; thread pools read their sizes when they are loaded."""
    if os.environ.get(PINNED):
        return
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    environment = {**os.environ, **one, "XLA_FLAGS": flags, PINNED: "1", "JAX_ENABLE_X64": "1"}
    environment["EQX_ON_ERROR"] = "raise"  # the peers run as they are installed, with their run-time checks
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], environment)


def main() -> int:
    _pin()
    import importlib
    import platform

    from .report import Row, table

    quick = "--quick" in sys.argv
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")] or list(NAMES)
    print(f"# {platform.processor() or platform.machine()}, one core, CPU time, interleaved medians\n")
    everything: list[Row] = []
    for name in wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        rows = module.rows(quick=quick)
        everything += rows
        print(table((module.__doc__ or name).splitlines()[0], rows), flush=True)
    missed = sum(not row.reached for row in everything)
    print(f"{len(everything) - missed} of {len(everything)} bars reached")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
