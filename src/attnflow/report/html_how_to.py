"""How to read a diagnosis: one or two sentences for each quantity."""

from __future__ import annotations

from collections.abc import Mapping

HOW_TO: Mapping[str, str] = {
    "layer and block": "Layer 0 is what enters the first block, layer l what leaves block l − 1. Blocks count from 0.",
    "median and band": (
        "Each quantity is measured on one sequence, or one batch of Gaussian tokens, at a time. The line is the median "
        "over them, the band leaves out the lowest and the highest tenth."
    ),
    "all tokens in one cloud": (
        "A sample of the tokens of all sequences, measured as one cloud (dashed): it holds the differences between "
        "sequences as well, and shows more directions than one sequence can."
    ),
    "mean norm": "The length of the mean of the tokens.",
    "trace": "The sum of the variances of all coordinates: how far the tokens lie from their mean, squared.",
    "effective rank, rank": (
        "tr(cov)² / tr(cov²): how many directions carry the variance. When it falls, the tokens concentrate in few "
        "directions; none of them is lost until the rank falls as well: the number of eigenvalues above rounding."
    ),
    "token cosine": (
        "The mean cosine of two different tokens. Near 1 all tokens point the same way (token collapse). That is no "
        "loss of rank: what is left around the mean may still fill all directions."
    ),
    "SW2": (
        "The sliced Wasserstein distance to the Gaussian of the same mean and covariance, divided by sqrt(tr / d), so "
        "that layers of unequal size can be compared."
    ),
    "MMD": "The maximum mean discrepancy to the same Gaussian, with a Gaussian kernel about as wide as the cloud.",
    "floor": (
        "What as many independent Gaussian tokens would show. A distance at its floor says nothing against a Gaussian; "
        "with few tokens the floor is high, and then it says little for one either."
    ),
    "normality p": (
        "The p-value of the test of Henze and Zirkler, which takes tokens as independent. It is left out where the "
        "tokens are too few for their dimension."
    ),
    "massive entries": (
        "The share of tokens with an entry far beyond all others, and the channel in which it stands. A few such "
        "tokens can carry most of the covariance."
    ),
    "R²": (
        "How much of the real attention output the Gaussian theory predicts from mean and covariance: 1 is all of it, "
        "0 no more than the mean output, below 0 worse. Mean field takes infinitely many tokens; the finite-n form "
        "accounts for their number."
    ),
    "ceiling": (
        "The R² that the same prediction reaches on tokens that are exactly Gaussian. A low ceiling means too few keys "
        "for the logit variance, whatever the law of the tokens."
    ),
    "another law": (
        "The R² on tokens of the same mean and covariance that are not Gaussian. Where it is as high as the ceiling, a "
        "good fit is no evidence that the tokens are Gaussian."
    ),
    "trusted": (
        "The prediction reaches at least 0.9 of its ceiling and is better than the mean alone. Where it does not, the "
        "theory has no part in the verdict."
    ),
    "logit variance": (
        "How much the logits of a query vary over the keys. Above 2 log n a query follows a few keys, and no average "
        "over the law of the tokens describes it."
    ),
    "growth": "2 tr Cov(x, attention(x)) / tr Cov(x): the rate at which attention alone makes the trace grow.",
    "drift": (
        "How far the pooled state of an input moved between the two models, relative to the spread between inputs, "
        "with a bootstrap interval over the inputs."
    ),
    "neighbours kept": (
        "For each input, which share of its 10 nearest inputs by cosine is the same in both models; then the mean."
    ),
}
"""What each quantity of the page is, by its name."""

TRUST = (
    "The theory replaces the tokens that enter a block by a Gaussian of the same mean and covariance, for which the "
    "output of attention is known in closed form. It can fail for two reasons, which the table tells apart: a low "
    "ceiling means that too few keys carry the weight (the logit variance is large against the logarithm of their "
    "number), and an R² far below its ceiling means that the tokens are not Gaussian."
)
"""What stands before the table of predictions."""

SIGNS = (
    "B is the form of the logits, V what a head writes, both d x d. Each is a product through a narrow space, so that "
    "the symmetric part of a generic one has as many positive as negative eigenvalues: counting signs says nothing, "
    "and no real head meets the sign conditions of the theorems. Trace ratios (trace over the sum of the absolute "
    "eigenvalues) say which sign prevails."
)
"""What stands before the table of heads."""

PROBE = "A probe with Gaussian tokens, not your data: a verdict on real input needs text, images or saved states."
"""What stands above a verdict on Gaussian tokens."""
