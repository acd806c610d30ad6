"""What the conditions of a claim ask of each matrix by itself, so that samples can be drawn to meet it."""

from __future__ import annotations

import dataclasses

from .conditions import Condition, Relation
from .expressions import Kind, Node


@dataclasses.dataclass
class Wish:
    """What one matrix should be.

    `sign` 1 or -1: definite (`strict`) or semidefinite, only its symmetric part with `part`; `symmetric`; `zero`;
    `spectrum` the sign of the real parts of all (or with `some` of one) of its eigenvalues.
    """

    sign: int = 0
    strict: bool = False
    part: bool = False
    symmetric: bool = False
    zero: bool = False
    spectrum: int = 0
    some: bool = False


@dataclasses.dataclass
class Wishes:
    """The wish for each of A, V, B, `scalar` when V = eta I, the sign of `eta`, whether the start may be `singular`."""

    A: Wish
    V: Wish
    B: Wish
    scalar: bool = False
    eta: int = 0
    singular: bool = False
    no_b: bool = False
    no_mean: bool = False


def wishes_of(conditions: tuple[Condition, ...]) -> Wishes:
    """What can be read off `conditions`; the others are left to rejection."""
    wishes = Wishes(Wish(), Wish(), Wish())
    score = 0
    for condition in conditions:
        found, sign = condition.difference, -1 if condition.relation.downward else 1
        strict, equal = condition.relation.strict, condition.relation is Relation.EQUAL
        if condition.scalar_value:
            wishes.scalar = True
        elif found.op == "name" and found.name in ("b", "mean") and equal:
            wishes.no_b |= found.name == "b"
            wishes.no_mean |= found.name == "mean"
        elif found.op == "name" and found.name == "cov":
            wishes.singular |= not strict and sign > 0
        elif found.op == "name" and found.name == "eta" and not equal:
            wishes.eta = sign
        elif found.op == "name" and found.name == "S" and not equal:
            score, wishes.B.part, wishes.B.strict = sign, True, strict
        else:
            _read(wishes, found, sign, strict, equal)
    if score and wishes.eta:
        wishes.B.sign = score * wishes.eta
    return wishes


def _read(wishes: Wishes, found: Node, sign: int, strict: bool, equal: bool) -> None:
    letter, part = _letter(found)
    if not letter:
        return
    wish: Wish = getattr(wishes, letter)
    if equal:
        wish.zero |= found.op == "name"
    elif found.kind is Kind.SPECTRUM:
        wish.spectrum = sign
        wish.some = found.op == ("max" if sign > 0 else "min")
    else:
        wish.sign, wish.strict = sign, strict
        wish.part, wish.symmetric = part, wish.symmetric or not part


def _letter(node: Node) -> tuple[str, bool]:
    """The letter whose sign `node` is, and whether only its symmetric part is meant; "" for anything else."""
    if node.op == "name" and node.name in "ABV":
        return node.name, False
    if node.op in ("all", "max", "min", "sym") and node.parts[0].op == "name" and node.parts[0].name in "ABV":
        return node.parts[0].name, node.op == "sym"
    names = node.names()
    if node.op == "+" and len(names) == 1 and {part.op for part in node.parts} == {"name", "T"}:
        return (next(iter(names)), True) if names <= set("ABV") else ("", False)
    return "", False
