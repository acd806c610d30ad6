"""The language of claims: conditions on A, B, V, b and the start, separated by commas, and a conclusion.

A condition compares two expressions. A recursive descent over a handful of tokens; nothing is ever executed.

    claim      = conditions "=>" conclusion
    condition  = side ("<" | "<=" | ">" | ">=" | "=") side
    side       = ["max" | "min"] "Re" "spec" matrix | sum
    sum        = product (("+" | "-") product)*
    product    = ["-"] power ("*"? power | "/" number)*
    power      = (number | name | (sym | tr | det) "(" sum ")" | "(" sum ")") ("^T")*
    name       = A | B | V | S | I | eta | cov | mean | b

Source: this package, docs/falsify.md.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from ..._check import BadInput
from .conclusions import Conclusion, conclusion_of
from .conditions import Condition, Relation, condition_of
from .expressions import Kind, Node

GRAMMAR = (
    'conditions such as "V < 0", "sym(B) >= 0", "B A + A^T B > 0", "Re(spec(A)) > 0", "max(Re(spec(A))) > 0", "A = 0", '
    '"V = eta I", "eta > 0", "b = 0", "mean = 0", "cov >= 0", "A B = B A", separated by commas; see docs/falsify.md'
)
_KINDS = {
    **dict.fromkeys("ABVSI", Kind.MATRIX),
    "cov": Kind.MATRIX,
    "eta": Kind.SCALAR,
    "b": Kind.VECTOR,
    "mean": Kind.VECTOR,
}
_WORDS = {*_KINDS, "sym", "tr", "det", "Re", "spec", "max", "min"}
_SPELLINGS = {
    "≺": "<", "⪯": "<=", "≻": ">", "⪰": ">=", "≤": "<=", "≥": ">=", "==": "=", "η": "eta", "Σ": "cov", "μ": "mean",
    "·": "*", "⊤": "^T", "**T": "^T", ".T": "^T", "'": "^T", "−": "-", "⇒": "=>", " and ": ", ", ";": ",",
}  # fmt: skip
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z]+)|(\^\s*T|<=|>=|[-+*/()<>=]))")


class Claim(NamedTuple):
    """`conditions` on a system and its start, and the `conclusion` that is claimed to follow."""

    conditions: tuple[Condition, ...]
    conclusion: Conclusion

    def __str__(self) -> str:
        """The claim in one line."""
        return f"{', '.join(map(str, self.conditions))} => {self.conclusion.value}"


LONGEST = 1000


def parse(hypotheses: str, conclusion: str | None = None) -> Claim:
    """The claim that `hypotheses` imply `conclusion`; without the latter the text must hold a "=>".

    Raises BadInput, naming the token and the grammar, for text that is no claim.
    """
    if len(hypotheses) > LONGEST:
        raise BadInput(f"`claim` must have at most {LONGEST} characters: {len(hypotheses)} were found; shorten it.")
    text = hypotheses
    for spelling, plain in _SPELLINGS.items():
        text = text.replace(spelling, plain)
    if conclusion is None:
        text, arrow, conclusion = text.partition("=>")
        if not arrow:
            raise BadInput(f'`claim` must hold a conclusion after "=>": {hypotheses!r} has none; {GRAMMAR}.')
    elif "=>" in text:
        raise BadInput('`claim` must hold one conclusion: a "=>" and a second argument were found; leave one out.')
    conditions = tuple(_Reader(part).condition() for part in text.split(",") if part.strip())
    if not conditions:
        raise BadInput(f"`claim` must hold at least one condition: none was found; give {GRAMMAR}.")
    used = frozenset[str]().union(*(condition.names for condition in conditions))
    if used & {"eta", "S"} and not any(condition.scalar_value for condition in conditions):
        conditions = (_Reader("V = eta I").condition(), *conditions)
    return Claim(conditions, conclusion_of(conclusion))


class _Reader:
    """A recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._tokens = self._split()
        self._at = 0

    def condition(self) -> Condition:
        left = self._side()
        sign = self._next()
        if sign not in ("<", "<=", ">", ">=", "="):
            raise self._fault(sign or "the end", "a comparison was expected")
        right = self._side()
        if self._peek():
            raise self._fault(self._peek(), "the condition should end before it")
        try:
            return condition_of(left, Relation(sign), right)
        except ValueError as error:
            raise self._fault(sign, str(error)) from None

    def _split(self) -> list[str]:
        tokens, place = list[str](), 0
        while place < len(self._text):
            match = _TOKEN.match(self._text, place)
            if match is None:
                raise self._fault(self._text[place:].strip()[0], "it has no meaning here")
            number, word, sign = match.groups()
            if word and word not in _WORDS:
                if set(word) - set("ABVSI"):
                    raise self._fault(word, "it is no name")
                tokens += list(word)  # AB is the product of A and B
            else:
                tokens.append(number or word or sign.replace(" ", ""))
            place = match.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found

    def _fault(self, token: str, why: str) -> BadInput:
        return BadInput(f"`claim` must consist of {GRAMMAR}: {token!r} was found in {self._text!r}: {why}.")

    def _side(self) -> Node:
        start = self._at
        for op in ("max", "min", "all"):
            if op == "all" or self._take(op):
                opened = 0
                while op != "all" and self._take("("):
                    opened += 1
                if self._take("Re"):
                    return self._closed(Node(op, Kind.SPECTRUM, (self._spectrum(),)), opened)
                self._at = start
        return self._sum()

    def _spectrum(self) -> Node:
        opened = 0
        while self._take("("):
            opened += 1
        if not self._take("spec"):
            raise self._fault(self._peek() or "the end", '"spec" was expected after "Re"')
        inner = self._power()
        if inner.kind is not Kind.MATRIX:
            raise self._fault("spec", "only a matrix has a spectrum")
        return self._closed(inner, opened)

    def _closed(self, node: Node, opened: int) -> Node:
        for _ in range(opened):
            if not self._take(")"):
                raise self._fault(self._peek() or "the end", "a closing parenthesis was expected")
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._peek() in ("+", "-"):
            sign, right = self._next(), self._product()
            if node.kind is not right.kind:
                raise self._fault(sign, f"a {node.kind.value} and a {right.kind.value} have no sum")
            node = Node("+", node.kind, (node, Node("-", right.kind, (right,)) if sign == "-" else right))
        return node

    def _product(self) -> Node:
        if self._take("-"):
            inner = self._product()
            return Node("-", inner.kind, (inner,))
        node = self._power()
        while self._peek() in ("*", "/", "(", *_KINDS, "sym", "tr", "det") or self._peek()[:1].isdigit():
            if self._take("/"):
                node = self._times(Node("number", Kind.SCALAR, value=1 / self._divisor()), node)
            else:
                self._take("*")
                node = self._times(node, self._power())
        return node

    def _times(self, left: Node, right: Node) -> Node:
        kinds = {left.kind, right.kind}
        if Kind.VECTOR in kinds and Kind.SCALAR not in kinds and left.kind is Kind.VECTOR:
            raise self._fault("*", "a vector must stand last in a product")
        if left.op == right.op == "number":
            return Node("number", Kind.SCALAR, value=left.value * right.value)
        kind = next(kind for kind in (Kind.VECTOR, Kind.MATRIX, Kind.SCALAR) if kind in kinds)
        return Node("*", kind, (left, right))

    def _divisor(self) -> Fraction:
        token = self._next()
        if not token[:1].isdigit() or Fraction(token) == 0:
            raise self._fault(token or "the end", "a number other than 0 was expected after /")
        return Fraction(token)

    def _power(self) -> Node:
        node = self._atom()
        while self._take("^T"):
            node = Node("T", node.kind, (node,))
        return node

    def _atom(self) -> Node:
        token = self._next()
        if token[:1].isdigit():
            return Node("number", Kind.SCALAR, value=Fraction(token))
        if token in _KINDS:
            return Node("name", _KINDS[token], name=token)
        if token == "(":
            return self._closed(self._sum(), 1)
        if token in ("sym", "tr", "det") and self._take("("):
            inner = self._closed(self._sum(), 1)
            if inner.kind is not Kind.MATRIX:
                raise self._fault(token, "it takes a matrix")
            return Node(token, Kind.MATRIX if token == "sym" else Kind.SCALAR, (inner,))
        raise self._fault(token or "the end", "a matrix, a number or a vector was expected")
