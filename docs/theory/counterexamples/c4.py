"""Refutes Table 1, row 2: V < 0, B > 0 and a Hurwitz A do not send every covariance to 0.

Exact arithmetic; needs SymPy and nothing else. A singular equilibrium other than 0 attracts an open set of starts.
"""

import sympy as sp

A = sp.Matrix([[1, -1], [3, -2]])
V = sp.Matrix([[-1, 0], [0, -8]])
B = sp.Matrix([[1, 0], [0, 1]])


def rate(X):
    """F(X) = M X + X M^T with M = A + V X B: what moves the covariance."""
    half = (A + V * X * B) * X
    return half + half.T


def positive(X):
    """Symmetric and positive definite: Sylvester's criterion, for rational matrices."""
    return X == X.T and all(X[:m, :m].det() > 0 for m in range(1, X.rows + 1))


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
assert A.trace() < 0
assert A.det() > 0

X = sp.Matrix([[4, 2], [2, 1]]) / 10
assert rate(X) == sp.zeros(2)
assert X.det() == 0
assert all(number > 0 for number in hurwitz_numbers(X))  # it attracts every start near it
print("refuted: V < 0, B > 0, Re spec A < 0 => the covariance tends to 0")
