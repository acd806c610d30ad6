"""Refutes Remark 4.2 (and Theorem 4.1 as printed): V = eta I, S <= 0 and A = 0, but the limit is not 0.

Exact arithmetic; needs SymPy and nothing else. cov' = cov S cov; the limit depends on the start.
"""

import sympy as sp

t = sp.Symbol("t", nonnegative=True)
A = sp.Matrix([[0, 0], [0, 0]])
S = sp.Matrix([[-2, 0], [0, 0]])
start = sp.Matrix([[2, 1], [1, 1]]) / 5
X = (start.inv() - t * S).inv()
solved = X.diff(t) - (A * X + X * A.T + X * S * X)
assert sp.simplify(solved) == sp.zeros(A.rows)
assert X.subs(t, 0) == start
assert X.applyfunc(lambda x: sp.limit(x, t, sp.oo)) == sp.diag(0, sp.Rational(1, 10))
print("refuted: V = eta I, S <= 0, A = 0 => the covariance tends to 0")
