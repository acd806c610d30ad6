"""The array vocabulary: one letter an axis.

`d` embedding dimension, `r` rank (columns of a factor), `n` tokens, `t` times, `k` inner dimension of a
low-rank matrix, `m` columns of a block of vectors.
"""

from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Float

AnyArray: TypeAlias = jax.Array | np.ndarray

Scalar: TypeAlias = Float[AnyArray, ""]
Vector: TypeAlias = Float[AnyArray, " d"]
Matrix: TypeAlias = Float[AnyArray, "d d"]
Factor: TypeAlias = Float[AnyArray, "d r"]
Points: TypeAlias = Float[AnyArray, "n d"]
Times: TypeAlias = Float[AnyArray, " t"]
