"""The array vocabulary: one letter an axis.

`d` embedding dimension, `r` rank (columns of a factor), `n` tokens, `t` times, `k` inner dimension of a
low-rank matrix, `m` columns of a block of vectors.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from numpy.typing import ArrayLike as ArrayLike  # noqa: PLC0414 (a public name of this module)
else:
    ArrayLike = Any  # what a user may give is checked by the doors, not by its type

AnyArray: TypeAlias = jax.Array | np.ndarray
Number: TypeAlias = float | AnyArray

Scalar: TypeAlias = Float[AnyArray, ""]
Vector: TypeAlias = Float[AnyArray, " d"]
Matrix: TypeAlias = Float[AnyArray, "d d"]
Factor: TypeAlias = Float[AnyArray, "d r"]
Points: TypeAlias = Float[AnyArray, "n d"]
Times: TypeAlias = Float[AnyArray, " t"]
