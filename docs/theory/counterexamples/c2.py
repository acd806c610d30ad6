"""Refutes Theorem 4.5 (1) and Table 1, row 2: a unique positive definite equilibrium that repels, and no limit at all.

Exact arithmetic; needs SymPy and nothing else. V < 0, B > 0, Re spec A > 0. Every equilibrium is unstable, so that
only a set of starts of measure zero converges (the others tend to a limit cycle of period 5.64).
"""

import sympy as sp

A = sp.Matrix([[2, -1], [3, 3]])
V = sp.Matrix([[-1, 0], [0, -5]])
B = sp.Matrix([[1, -1], [-1, 4]])


def rate(X):
    """F(X) = M X + X M^T with M = A + V X B: what moves the covariance."""
    half = (A + V * X * B) * X
    return half + half.T


def positive(X):
    """Symmetric and positive definite: Sylvester's criterion, for rational matrices."""
    return X == X.T and all(X[:m, :m].det() > 0 for m in range(1, X.rows + 1))


k = sp.Symbol("k")


def list_of_equilibria():
    """The cubic p(k) and the matrix X(k): the nonsingular symmetric solutions of F(X) = 0 are the X(k), p(k) = 0.

    M X is skew exactly when M = k X J for some k (J: rotation by 90 degrees), that is A = k X J - V X B."""
    J, E = sp.Matrix([[0, -1], [1, 0]]), [sp.Matrix(2, 2, e) for e in ([1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1])]
    T = sp.Matrix.hstack(*[(k * X * J - V * X * B).vec() for X in E], A.vec())
    p = sp.Poly(T.det(), k)
    assert p.is_irreducible
    assert p.degree() == 3
    rows = [0, 1, 2] if T[:3, :3].det() != 0 else [0, 1, 3]
    x = T[rows, :3].LUsolve(T[rows, 3])
    return p, sp.Matrix([[x[0], x[1]], [x[1], x[2]]])


def sign(value, p, interval):
    """The sign of a rational function of k at the one root of the irreducible p in the interval."""
    (lo, hi), answer = interval, 1
    for part in sp.fraction(sp.together(value)):
        q = sp.Poly(part, k).rem(p)
        assert not q.is_zero
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
assert A.trace() > 0
assert A.det() > 0

p, X = list_of_equilibria()
assert p.count_roots() == 1
((interval, _),) = p.intervals()
assert sign(X[0, 0], p, interval) > 0
assert sign(X.det(), p, interval) > 0
signs = [sign(number, p, interval) for number in hurwitz_numbers(X)]
assert -1 in signs  # it is unstable

# a rank-one equilibrium s u u^T needs A u = -k V u with k = s u^T B u > 0
assert sp.Poly((A + k * V).det(), k).count_roots() == 0
print("refuted: V < 0, B > 0, Re spec A > 0 => the covariance tends to a positive definite limit")
