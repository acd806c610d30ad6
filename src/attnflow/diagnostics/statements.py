"""The statements on nonlinear feed-forward layers, with the number in the paper and what had to be corrected there."""

from __future__ import annotations

from ..asymptotics.statements import Statement

_PAGE = "docs/theory/departure.md"

PROP_2_3 = Statement(
    "Proposition 2.3",
    "ReLU feed-forward and softmax attention: W_2 to the flow with the identity is at most t times the norm of the "
    "defect, up to O(t^2), for times up to T*",
    "Proposition 2.3, Lemma 2.2",
    "up to min(T*, T_f), T_f the blow-up of the Gaussian flow; the time given here lies before both; the flow of the "
    "tokens' law is taken to exist",
    _PAGE,
)
REMARK_2_3 = Statement(
    "Remark after Proposition 2.3",
    "another Lipschitz activation s with |s(z)| <= growth |z| and softmax attention: the same bound by the same proof",
    "remark after Proposition 2.3",
    "the paper expects it; with the growth in the constants of Lemma 2.2 its proof gives the time, too",
    _PAGE,
)
NOT_COVERED = Statement(
    "none",
    "the number is the norm of the difference of the two velocities at time 0; that W_2 grows no faster is proved only "
    "under the hypotheses listed",
    "",
    "",
    _PAGE,
)
AFFINE = Statement(
    "Proposition 2.1", "an affine feed-forward is no departure: both flows are one", "Proposition 2.1", "", _PAGE
)
