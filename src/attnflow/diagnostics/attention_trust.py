"""When the Gaussian prediction of an attention layer is trusted, in words.

Source: this package, docs/theory/diagnose.md, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

SHARE = 0.9
"""A trusted prediction reaches this share of what it reaches when its hypothesis is exactly true. Where a control does
so, too, the fit is no evidence for the hypothesis."""
VISIBLE = 0.1
"""Below this R^2 under its own hypothesis a prediction says nothing: the choice of the keys hides it."""

SHARP = 0.5
"""From this share of 2 log n on the logit variance of a head is the cause of a low ceiling."""
DEVIATIONS = 2.0
"""So many standard deviations of chance are granted."""


class Verdict(NamedTuple):
    """Whether the prediction is `trusted`, and the `reason` in one sentence."""

    trusted: bool
    reason: str


def verdict(
    r2: float,
    ceiling: float,
    mean_only: float,
    control: float,
    *,
    logit_variance: float,
    two_log_n: float,
    slack: float = 0.0,
) -> Verdict:
    """Trust in a prediction with this `r2`, the best available one, that reaches `ceiling` when tokens are Gaussian.

    `mean_only`: R^2 of the mean alone; `control`: the R^2 of the prediction for tokens with the same moments that are
    not Gaussian; `logit_variance` of the sharpest head, against `two_log_n`; `slack`: how far the R^2 of Gaussian
    tokens may fall below the ceiling by chance.

    Source: this package, docs/theory/diagnose.md, section 4.
    """
    if ceiling <= VISIBLE:
        return Verdict(False, _too_few(ceiling, logit_variance, two_log_n))
    if r2 < SHARE * ceiling - slack:
        return Verdict(
            False,
            f"the tokens are not Gaussian enough: R^2 is {r2:.2f}, and {ceiling:.2f} for Gaussian tokens with the "
            "same mean and covariance",
        )
    if r2 <= mean_only:
        return Verdict(False, f"the mean alone predicts as well: R^2 is {r2:.2f}, and {mean_only:.2f} from the mean")
    if control >= SHARE * ceiling:  # other tokens pass the same test
        return Verdict(
            True,
            f"R^2 is {r2:.2f} of at most {ceiling:.2f}, but any law with these moments fits as well: no evidence for "
            "Gaussianity",
        )
    return Verdict(
        True, f"R^2 is {r2:.2f} of at most {ceiling:.2f}; tokens of another law with these moments give {control:.2f}"
    )


def _too_few(ceiling: float, logit_variance: float, two_log_n: float) -> str:
    words = f"even for Gaussian tokens R^2 is only {ceiling:.2f}: "
    if logit_variance > SHARP * two_log_n:
        sharp = f"logit variance {logit_variance:.3g} in one head, 2 log n = {two_log_n:.3g}"
        return f"{words}few keys hold the weight ({sharp})"
    return f"{words}the noise of finitely many keys hides the little that varies between queries"
