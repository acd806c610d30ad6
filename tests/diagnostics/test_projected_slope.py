"""The projection of the defect on gradients against polynomials fitted by least squares, and against exact numbers.

Oracle: the gradients of all polynomials u of degree N are fitted to the field in L2 of the start, on a Gauss-Hermite
grid. The norm of the fit grows to that of the projection.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.polynomial import hermite_e

from attnflow import Gaussian
from attnflow.diagnostics.departure import departure_constant
from attnflow.diagnostics.projected_slope import projected_slope
from attnflow.moments.activation import Activation
from attnflow.moments.by_quadrature import SiLU, Tanh
from attnflow.moments.error_function import GELU, Erf
from attnflow.moments.relu import ReLU

TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])


def fitted(field, mean, factor, degree: int, nodes: int) -> float:
    """The norm of the best approximation of `field` by gradients of polynomials; `factor` is square, of full rank."""
    dim = len(mean)
    x, w = hermite_e.hermegauss(nodes)
    z = np.array(list(itertools.product(x, repeat=dim)))
    weight = np.prod(np.array(list(itertools.product(w / w.sum(), repeat=dim))), axis=1)
    values = [hermite_e.hermevander(z[:, i], degree) for i in range(dim)]
    slopes = [np.column_stack([np.zeros(len(z)), *(k * v[:, k - 1] for k in range(1, degree + 1))]) for v in values]
    inverse = np.linalg.inv(factor)
    columns = []
    for powers in itertools.product(range(degree + 1), repeat=dim):
        if 0 < sum(powers) <= degree:
            gradient = np.stack(
                [
                    np.prod([(slopes if i == j else values)[j][:, powers[j]] for j in range(dim)], axis=0)
                    for i in range(dim)
                ],
                axis=1,
            )
            column = np.sqrt(weight)[:, None] * (gradient @ inverse)
            columns.append(column.ravel() / np.linalg.norm(column))
    matrix = np.column_stack(columns)
    target = (np.sqrt(weight)[:, None] * field(mean + z @ factor.T)).ravel()
    solution = np.linalg.lstsq(matrix, target, rcond=1e-13)[0]
    return float(np.linalg.norm(matrix @ solution))


def system(rng, dim: int, size: float = 0.6):
    A, b = size * rng.normal(size=(dim, dim)), 0.5 * rng.normal(size=dim)
    mean, factor = rng.normal(size=dim), rng.normal(size=(dim, dim)) + 0.5 * np.eye(dim)
    return A, b, mean, factor


@pytest.mark.parametrize("activation", [GELU(), Tanh(), SiLU(), Erf()], ids=lambda a: type(a).__name__)
def test_in_the_plane_it_is_the_limit_of_polynomial_fits(activation, rng):
    A, b, mean, factor = system(rng, 2, 0.3)

    def field(x):
        z = x @ A.T + b
        return np.asarray(activation(z)) - z

    found = projected_slope(activation, A, b, Gaussian.from_factor(mean, factor))
    assert found.error < 1e-10
    fit = fitted(field, mean, factor, 16, 50)
    assert fit <= found.value * (1 + 1e-9)
    assert fit == pytest.approx(found.value, rel=2e-6)
    assert found.value < 0.99 * float(departure_constant(activation, A, b, Gaussian.from_factor(mean, factor)))


def test_in_three_dimensions_it_is_the_limit_of_polynomial_fits(rng):
    A, b, mean, factor = system(rng, 3, 0.3)

    def field(x):
        z = x @ A.T + b
        return np.asarray(GELU()(z)) - z

    found = projected_slope(GELU(), A, b, Gaussian.from_factor(mean, factor))
    assert found.value == pytest.approx(fitted(field, mean, factor, 8, 20), rel=1e-5)


def test_relu_lies_just_above_polynomial_fits_that_grow(rng):
    A, b, mean, factor = system(rng, 2)

    def field(x):
        return np.maximum(-(x @ A.T + b), 0.0)

    found = projected_slope(ReLU(), A, b, Gaussian.from_factor(mean, factor))
    low, high = (fitted(field, mean, factor, degree, 90) for degree in (5, 14))
    assert low < high
    assert high == pytest.approx(found.value, rel=3e-3)
    assert high < found.value * (1 + 2e-4)  # the grid resolves a kink to about 1e-4


class Disguised(Activation):
    """ReLU that the closed form does not recognise: it goes through the Hermite series and the quadrature."""

    def __call__(self, x):
        return ReLU()(x)

    def expectations(self, mean, var):
        return ReLU().expectations(mean, var)

    def coefficients(self, mean, deviation, count):
        return ReLU().coefficients(mean, deviation, count)

    def variance(self, mean, deviation):
        return ReLU().variance(mean, deviation)

    def covariance(self, one, two, correlation):
        return ReLU().covariance(one, two, correlation)


def test_the_closed_form_of_relu_lies_in_the_bracket_of_its_series(rng):
    A, b, mean, factor = system(rng, 3)
    start = Gaussian.from_factor(mean, factor)
    closed, series = projected_slope(ReLU(), A, b, start), projected_slope(Disguised(), A, b, start, levels=1500)
    assert series.error < 3e-5 * series.value
    assert abs(closed.value - series.value) <= series.error * (1 + 1e-6)


def test_the_rotation_has_the_square_three_eighths():
    found = projected_slope(ReLU(), TURN, None, Gaussian.from_moments(np.zeros(2), np.eye(2)))
    assert found.value**2 == pytest.approx(3 / 8, rel=1e-12)
    assert found.error == 0.0


def test_the_rotation_of_gelu_agrees_with_quadrature_of_its_mehler_integral():
    """For A a right angle and N(0, I): 2 int_0^1 E g(u) g(v) d rho - (E g')^2, u and v with the correlation rho."""
    from scipy.integrate import quad
    from scipy.special import ndtr

    x, w = hermite_e.hermegauss(80)
    w = w / w.sum()

    def kernel(rho):
        inner = rho * x[:, None] + np.sqrt(1 - rho**2) * x[None, :]
        g = lambda z: -z * ndtr(-z)  # noqa: E731
        return w @ (g(x)[:, None] * g(inner)) @ w

    slope = w @ (-ndtr(-x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))
    expected = 2 * quad(kernel, 0, 1, epsabs=1e-12)[0] - slope**2
    found = projected_slope(GELU(), TURN, None, Gaussian.from_moments(np.zeros(2), np.eye(2)))
    assert found.value**2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("activation", [ReLU(), Tanh()], ids=lambda a: type(a).__name__)
def test_on_the_line_and_for_diagonal_layers_it_is_the_whole_constant(activation, rng):
    line = Gaussian.from_moments([0.7], [[1.9]])
    diagonal = Gaussian.from_moments(rng.normal(size=3), np.diag([0.02, 1.0, 9.0]))
    for A, start in ((np.array([[-1.2]]), line), (np.diag([0.4, -1.0, 0.2]), diagonal)):
        b = rng.normal(size=start.dim)
        whole = float(departure_constant(activation, A, b, start))
        assert projected_slope(activation, A, b, start).value == pytest.approx(whole, rel=1e-6)


def test_across_the_range_of_a_singular_start_every_field_is_a_gradient(rng):
    """Rank one in the plane: along the line the field is one-dimensional, so that nothing is lost at all."""
    start = Gaussian.from_factor(rng.normal(size=2), rng.normal(size=(2, 1)))
    A, b = rng.normal(size=(2, 2)), rng.normal(size=2)
    whole = float(departure_constant(ReLU(), A, b, start))
    assert projected_slope(ReLU(), A, b, start).value == pytest.approx(whole, rel=1e-10)


def test_a_plane_in_space_adds_what_lies_across_it(rng):
    """Oracle: the fit in the plane's own coordinates, and a Gauss-Hermite average of the part across."""
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    plane, normal = frame[:, :2], frame[:, 2]
    mean, inner = rng.normal(size=3), rng.normal(size=(2, 2)) + np.eye(2)
    A, b = 0.3 * rng.normal(size=(3, 3)), 0.5 * rng.normal(size=3)

    def field(x):
        z = x @ A.T + b
        return np.asarray(GELU()(z)) - z

    along = fitted(lambda y: field(mean + y @ plane.T) @ plane, np.zeros(2), inner, 16, 50)
    x, w = hermite_e.hermegauss(50)
    z = np.array(list(itertools.product(x, repeat=2)))
    weight = np.outer(w, w).ravel() / w.sum() ** 2
    across = weight @ np.square(field(mean + z @ inner.T @ plane.T) @ normal)
    found = projected_slope(GELU(), A, b, Gaussian.from_factor(mean, plane @ inner))
    assert found.value == pytest.approx(np.sqrt(along**2 + across), rel=1e-6)


def test_a_dirac_mass_moves_apart_by_the_whole_defect():
    start = Gaussian.from_factor([1.0, -2.0], np.zeros((2, 0)))
    found = projected_slope(ReLU(), TURN, np.array([0.0, 0.5]), start)
    assert found.value == pytest.approx(np.linalg.norm([2.0, 0.5]), rel=1e-14)


def test_nearly_singular_starts_tend_to_the_singular_one(rng):
    """Two scales of time in the integral, eight decades apart: the limit is the whole constant."""
    axis = np.array([0.6, 0.8])
    A, b, mean = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=2)
    factor = np.column_stack([axis, 1e-4 * np.array([-0.8, 0.6])])
    start = Gaussian.from_factor(mean, factor)
    limit = float(departure_constant(ReLU(), A, b, Gaussian.from_factor(mean, axis)))
    assert projected_slope(ReLU(), A, b, start).value == pytest.approx(limit, rel=1e-3)


def test_few_levels_bracket_the_value(rng):
    A, b, mean, factor = system(rng, 2)
    start = Gaussian.from_factor(mean, factor)
    exact = projected_slope(SiLU(), A, b, start)
    for levels in (2, 4, 8):
        rough = projected_slope(SiLU(), A, b, start, levels=levels)
        assert abs(rough.value - exact.value) <= rough.error + 1e-12
