"""Refutes Theorem 4.1 as printed: V = eta I, S <= 0, A nilpotent, and the covariance grows like t / 2.

Exact arithmetic; needs SymPy and nothing else. cov' = A cov + cov A^T + cov S cov.
"""

import sympy as sp

t = sp.Symbol("t", nonnegative=True)
A = sp.Matrix([[0, 1], [0, 0]])
S = sp.Matrix([[0, 0], [0, -2]])
start = sp.eye(2)
s = sp.Symbol("s")
N = ((A.T * s).exp() * S * (A * s).exp()).integrate((s, 0, t))
X = sp.simplify((A * t).exp() * (sp.eye(2) - N).inv() * (A.T * t).exp())
solved = X.diff(t) - (A * X + X * A.T + X * S * X)
assert sp.simplify(solved) == sp.zeros(A.rows)
assert X.subs(t, 0) == start
assert sp.simplify(X[0, 0] - (1 + t**2 / (1 + 2 * t))) == 0
assert sp.limit(X[0, 0] / t, t, sp.oo) == sp.Rational(1, 2)
print("refuted: V = eta I, S <= 0 => the covariance tends to a solution on the unstable subspace of A")
