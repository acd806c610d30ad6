"""Theorem 4.1 needs a positive definite start: from a singular one the covariance can turn for ever, though S < 0.

Exact arithmetic; needs SymPy and nothing else. cov' = A cov + cov A^T + cov S cov.
"""

import sympy as sp

t = sp.Symbol("t", nonnegative=True)
A = sp.Matrix([[1, -1], [1, 1]])
S = sp.Matrix([[-2, 0], [0, -2]])
start = sp.diag(1, 0)
u = sp.Matrix([sp.cos(t), sp.sin(t)])
X = u * u.T
solved = X.diff(t) - (A * X + X * A.T + X * S * X)
assert sp.simplify(solved) == sp.zeros(A.rows)
assert X.subs(t, 0) == start
assert sp.simplify(X.subs(t, t + sp.pi) - X) == sp.zeros(2)
assert X.subs(t, sp.pi / 2) == sp.diag(0, 1)
print("refuted: V = eta I, S < 0, cov(0) >= 0 => the covariance converges")
