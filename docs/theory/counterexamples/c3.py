"""Refutes the uniqueness in Theorem 4.5 (1) and Table 1, row 2: two stable positive definite equilibria and a saddle.

Exact arithmetic; needs SymPy and nothing else. V < 0, B > 0, Re spec A > 0.
"""

import sympy as sp

A = sp.Matrix([[1, 1], [-1, 1]])
V = sp.Matrix([[-1, 0], [0, -8]])
B = sp.Matrix([[1, 1], [1, 2]])


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
intervals = [interval for interval, _ in p.intervals()]
assert len(intervals) == 3
stable = []
for interval in intervals:
    assert sign(X[0, 0], p, interval) > 0
    assert sign(X.det(), p, interval) > 0
    stable.append(all(sign(number, p, interval) > 0 for number in hurwitz_numbers(X)))
assert sorted(stable) == [False, True, True]
print("refuted: V < 0, B > 0, Re spec A > 0 => the positive definite equilibrium is unique")
