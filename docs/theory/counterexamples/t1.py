"""Refutes Theorem 4.1 as printed: V = eta I, S = eta (B + B^T) <= 0, and the covariance grows without bound.

Exact arithmetic; needs SymPy and nothing else. cov' = A cov + cov A^T + cov S cov; the second mode of A is unstable
and attention does not see it.
"""

import sympy as sp

t = sp.Symbol("t", nonnegative=True)
A = sp.Matrix([[1, 0], [0, 1]])
S = sp.Matrix([[-2, 0], [0, 0]])
start = sp.eye(2)
X = sp.diag(1, sp.exp(2 * t))
solved = X.diff(t) - (A * X + X * A.T + X * S * X)
assert sp.simplify(solved) == sp.zeros(A.rows)
assert X.subs(t, 0) == start
assert sp.limit(X[1, 1], t, sp.oo) == sp.oo
print("refuted: V = eta I, S <= 0 => the covariance tends to a solution on the unstable subspace of A")
