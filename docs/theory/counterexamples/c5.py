"""Refutes Table 1, row 2 on the imaginary axis: with spec A = {i, -i} small covariances need not tend to 0.

Exact arithmetic; needs SymPy and nothing else. V < 0, B > 0, Re spec A = 0.
"""

import sympy as sp

A = sp.Matrix([[0, sp.Rational(1, 16)], [-16, 0]])
V = sp.Matrix([[-1, sp.Rational(-1, 2)], [sp.Rational(-1, 2), -1]])
B = sp.Matrix([[256, -15], [-15, 1]])


def rate(X):
    """F(X) = M X + X M^T with M = A + V X B: what moves the covariance."""
    half = (A + V * X * B) * X
    return half + half.T


def positive(X):
    """Symmetric and positive definite: Sylvester's criterion, for rational matrices."""
    return X == X.T and all(X[:m, :m].det() > 0 for m in range(1, X.rows + 1))


k = sp.Symbol("k")


def sign(value, p, interval):
    """The sign of a rational function of k at the one root of the irreducible p in the interval."""
    (lo, hi), answer = interval, 1
    for part in sp.fraction(sp.together(value)):
        q = sp.Poly(part, k).rem(p)
        if q.is_zero:
            return 0
        while q.count_roots(lo, hi):
            lo, hi = p.refine_root(lo, hi, eps=(hi - lo) / 100)
        answer *= sp.sign(q.eval((lo + hi) / 2))
    return answer


def hurwitz_numbers(X):
    """a1, a3 and a1 a2 - a3 of the characteristic polynomial of F'(X) on (x11, x12, x22): all positive if and only if
    every eigenvalue has a negative real part; one of them negative only if some eigenvalue has a positive one."""
    x = sp.symbols("x11 x12 x22")
    F = rate(sp.Matrix([[x[0], x[1]], [x[1], x[2]]]))
    J = sp.Matrix([F[0, 0], F[0, 1], F[1, 1]]).jacobian(x).subs(dict(zip(x, (X[0, 0], X[0, 1], X[1, 1]), strict=True)))
    _, a1, a2, a3 = J.charpoly().all_coeffs()
    return a1, a3, a1 * a2 - a3


assert positive(-V)
assert positive(B)
assert A.trace() == 0
assert A.det() == 1

# Along the covariances P that A leaves at rest, the size tr(P^-1 cov) / 2 grows, to second order in it.
P = sp.diag(1, 256)
assert sp.zeros(2) == A * P + P * A.T
assert (P.inv() * rate(P)).trace() > 0

# A rank-one equilibrium X = k u u^T / (u^T B u), where A u = -k V u, k > 0, attracts an open set of starts.
p = sp.Poly((A + k * V).det(), k)
_, interval = [interval for interval, _ in p.intervals()]
assert p.is_irreducible
assert sign(k, p, interval) > 0
u = (A + k * V).adjugate()[:, 0]
X = k * u * u.T / (u.T * B * u)[0]
assert all(sign(entry, p, interval) == 0 for entry in rate(X))
assert sign(X.trace(), p, interval) > 0
assert all(sign(number, p, interval) > 0 for number in hurwitz_numbers(X))
print("refuted: V < 0, B > 0, Re spec A <= 0 => the covariance tends to 0")
