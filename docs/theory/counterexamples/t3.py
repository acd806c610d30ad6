"""Refutes Theorem 4.1 as printed: V = eta I, S <= 0, and the covariance turns for ever.

Exact arithmetic; needs SymPy and nothing else. cov' = A cov + cov A^T + cov S cov; attention does not see the rotation.
"""

import sympy as sp

t = sp.Symbol("t", nonnegative=True)
A = sp.Matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
S = sp.Matrix([[-2, 0, 0], [0, 0, 0], [0, 0, 0]])
start = sp.diag(1, 2, 1)
turn = sp.diag(1, sp.Matrix([[sp.cos(t), -sp.sin(t)], [sp.sin(t), sp.cos(t)]]))
X = turn * start * turn.T
solved = X.diff(t) - (A * X + X * A.T + X * S * X)
assert sp.simplify(solved) == sp.zeros(A.rows)
assert X.subs(t, 0) == start
assert sp.simplify(X.subs(t, t + sp.pi) - X) == sp.zeros(3)  # periodic, and not constant:
assert X.subs(t, sp.pi / 2)[1, 1] == 1
assert X.subs(t, sp.pi)[1, 1] == 2
print("refuted: V = eta I, S <= 0 => the covariance converges")
