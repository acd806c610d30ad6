"""All equilibria of a system, by the method that fits it, and whether the list is complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy.linalg import eig

from ..system import System
from .certificate import DENSE, EPS
from .continuation import follow, natural_size, scalar_part, settle
from .equilibrium import Equilibrium, zero
from .newton import polish
from .planar import planar
from .riccati import enumeration, stabilising

PATHS = 8  # that are followed from V = eta I
SAME = 1e-7  # relative distance up to which two covariances are one equilibrium
PARTIAL = "for d > 2 and general V no method finds all equilibria: there may be more"


@dataclasses.dataclass(frozen=True)
class Found:
    """Equilibria: higher rank first, within a rank stable ones first; the covariance 0 is the last.

    `complete` says that there are no other positive semidefinite ones, and `note`, where it is False, why that is not
    known.
    """

    equilibria: tuple[Equilibrium, ...]
    complete: bool
    note: str


def find(system: System) -> Found:
    """The positive semidefinite equilibria of `system`.

    d = 2: the complete list, exactly, unless there are families. Every V_h a multiple of I: one for each invariant
    subspace of A that carries one; complete for distinct eigenvalues, at most six of which take part. Otherwise those
    that continuation from tr(V)/d I reaches, those where an integration comes to rest and, for one head, those of rank
    one: never complete.

    Source: this package, docs/theory/long-run.md; :cite:alcalde2026, eq. (4.7).
    """
    if system.dim == 2:
        return _planar(system)
    if system.scalars is not None:
        return _scalar(system)
    return _found(system, _general(system), PARTIAL)


def _planar(system: System) -> Found:
    listed = planar(system)
    note = "; ".join(f"there are also {family}" for family in listed.families)
    extra = _scalar(system).equilibria if note and system.scalars is not None else ()
    return _found(system, [*listed.found, *extra], note)


def _scalar(system: System) -> Found:
    if system.dim > DENSE:
        both = (stabilising(system.A, system.S), stabilising(-system.A, -system.S))
        kept = [Equilibrium(system, each.cov, each.rank) for each in both if each is not None]
        return _found(system, kept, f"for d > {DENSE} only those on the whole unstable or stable subspace are listed")
    listed = enumeration(system.A, system.S)
    kept = [Equilibrium(system, each.cov, each.rank) for each in listed.found]
    return _found(system, kept, "" if listed.complete else listed.note)


def _general(system: System) -> list[Equilibrium]:
    origin = scalar_part(system)
    if system.dim > DENSE:
        begin = stabilising(origin.A, origin.S)
        ends = [] if begin is None or begin.rank == 0 else [follow(system, begin.cov)]
    else:
        ends = [follow(system, each.cov) for each in enumeration(origin.A, origin.S).found[:PATHS]]
        ends += [polish(system, cov) for cov in _rank_one(system)]
    found = [each for each in ends if each is not None]
    if not any(each.stable for each in found):
        ends = [settle(system, size * np.eye(system.dim)) for size in (natural_size(system), 10 * natural_size(system))]
        found += [each for each in ends if each is not None]
    return found


def _rank_one(system: System) -> Iterable[Float[np.ndarray, "d d"]]:
    """The equilibria s u u^T under one head: A u = -k V u with a real k, and s u^T B u = k."""
    if system.single is None:
        return
    V, B = system.single
    values, vectors = eig(system.A, -V)
    for k, u in zip(values, vectors.T, strict=True):
        if not np.isfinite(k) or abs(k.imag) > 1e-10 * abs(k):
            continue
        direction = np.real(u / u[np.argmax(np.abs(u))])
        pull = float(direction @ B @ direction)
        if pull * k.real > EPS * float(direction @ direction) * float(np.linalg.norm(B)) * abs(k):
            yield k.real / pull * np.outer(direction, direction)


def _found(system: System, equilibria: Iterable[Equilibrium], note: str) -> Found:
    distinct: list[Equilibrium] = []
    for each in equilibria:
        if each.rank > 0 and not any(_same(each, other) for other in distinct):
            distinct.append(each)
    distinct.sort(key=lambda each: (-each.rank, {True: 0, None: 1, False: 2}[each.stable]))
    return Found((*distinct, zero(system)), not note, note)


def _same(first: Equilibrium, second: Equilibrium) -> bool:
    size = max(float(np.linalg.norm(first.cov)), float(np.linalg.norm(second.cov)))
    return bool(np.linalg.norm(first.cov - second.cov) <= SAME * size)
