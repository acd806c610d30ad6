"""The commented problem file that a newcomer starts from."""

import os
from pathlib import Path

from .._atomic import replacing
from .._check import BadInput

PROBLEM_TEMPLATE = """\
# A problem for attnflow: a Gaussian moved by a Transformer, in the mean-field limit.
#
#   mean' = (A + V cov B + V) mean + b
#   cov'  = (A + V cov B) cov + cov (A + V cov B)^T
#
# Run it with `attnflow simulate problem.toml`.
# A matrix is written row by row, or as a number (that multiple of the identity), or read from a NumPy archive
# beside this file: B = "params.npz:B".

title = "One stable and one unstable direction"

[start]                                   # the Gaussian at time 0
mean = [-1.0, -1.0]
cov = [[0.4, 0.2],                        # or factor = ... (cov = factor factor^T, any number of columns),
       [0.2, 0.2]]                        # or tokens = ... alone (one token a row; gives mean and cov)
# kind = "tokens"                         # move the tokens themselves: those of `tokens`, or `sample` drawn ones
# sample = 1000

[model.attention]                         # several heads: write [[model.attention]] once for each
B = [[1.0, 0.25],                         # a key y has the weight exp(y^T B x) for the query x
     [0.25, 0.75]]
V = -1.0                                  # minus the identity
# kind = "l2", "sinkhorn", "sigmoid", "linear", "multihead" are the other kinds of attention (docs/problem-file.md);
# masked = true hides later tokens from earlier ones. This is kind = "softmax".
# Q, K, V and scale may be given instead of B and V: then B = scale K^T Q, scale = 1/sqrt(k) unless given.
# query_bias = [...] and value_bias = [...] are optional.

[model.feedforward]                       # the velocity A x + b
A = [[0.5,  0.25],                        # eigenvalues of both signs: contraction along one direction only
     [0.25, -0.5]]
b = [0.9220885469268251, 2.967675578348736]   # chosen so that the mean tends to (1, 2)

[simulate]
t1 = 100.0                                # the last time; or list the output times: times = [0.0, 0.5, 100.0]
# points = 201                            # output times evenly spaced from 0 to t1 (default: the natural steps)
# rtol = 1e-8
# atol = 1e-12
# max_steps = 100000
# stop_at_rest = true                     # end early when nothing moves any more
# layers = 12                             # instead of t1 or times: that many residual layers x + step Gamma(x)
# step = 1.0
# seed = 0
"""


def write_template(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write `PROBLEM_TEMPLATE` to `path`.

    Raises BadInput when `path` exists and `overwrite` is false, or when it cannot be written.
    """
    if Path(path).exists() and not overwrite:
        raise BadInput(f"`{path}` exists already: it is left as it is; choose another name or ask for overwriting.")
    with replacing(path) as partial:
        partial.write_text(PROBLEM_TEMPLATE, encoding="utf-8")
