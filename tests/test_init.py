import math

import numpy as np
import pytest

from cconv.nn import Parameter, init

SHAPE = (64, 32, 3, 3)
FAN_IN, FAN_OUT = 288, 576


def parameter(shape=SHAPE):
    return Parameter(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (init.xavier_uniform, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (init.xavier_normal, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (init.kaiming_uniform, math.sqrt(2 / FAN_IN)),
        (init.kaiming_normal, math.sqrt(2 / FAN_IN)),
        (init.lecun_normal, math.sqrt(1 / FAN_IN)),
        (init.lecun_uniform, math.sqrt(1 / FAN_IN)),
        (init.he_normal, math.sqrt(2 / FAN_IN)),
        (init.he_uniform, math.sqrt(2 / FAN_IN)),
        (init.glorot_normal, math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (init.uniform, math.sqrt(1 / 12)),
        (init.normal, 1.0),
        (init.truncated_normal, 0.8796),
    ],
)
def test_deviation_and_repeatability(fill, std):
    first, again, other = (fill(parameter(), rng=seed).data for seed in (3, 3, 4))
    assert first.std() == pytest.approx(std, rel=0.02)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and first.dtype == np.float32


def test_a_generator_goes_on():
    rng = np.random.default_rng(0)
    a, b = init.normal(parameter((3, 3)), rng=rng).data, init.normal(parameter((3, 3)), rng=rng).data
    assert (a != b).all()


def test_bounds():
    bound = math.sqrt(6 / (FAN_IN + FAN_OUT))
    assert 0.99 * bound < np.abs(init.xavier_uniform(parameter(), rng=0).data).max() <= bound
    bound = 1 / math.sqrt(FAN_IN)
    assert 0.99 * bound < np.abs(init.kaiming_uniform(parameter(), a=math.sqrt(5), rng=0).data).max() <= bound * 1.0001
    drawn = init.truncated_normal(parameter(), mean=1, std=2, low=0, high=4, rng=0).data
    assert drawn.min() >= 0 and drawn.max() <= 4


def test_modes_and_gains():
    wide = init.kaiming_normal(parameter(), mode="fan_out", nonlinearity="relu", rng=0).data.std()
    assert wide == pytest.approx(math.sqrt(2 / FAN_OUT), rel=0.02)
    assert init.gain("tanh") == pytest.approx(5 / 3) and init.gain("leaky_relu", 1) == 1
    assert init.fans((10, 84)) == (84, 10)


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (4, 27), (30, 2, 2, 2), (5, 5)])
def test_orthogonal(shape):
    matrix = init.orthogonal(parameter(shape), gain=2, rng=0).data.reshape(shape[0], -1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_constants():
    assert (init.constant(parameter((2, 2)), 3).data == 3).all()
    assert (init.ones(parameter((2,))).data == 1).all() and (init.zeros(parameter((2,))).data == 0).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: init.kaiming_normal(parameter((3,))),
        lambda: init.kaiming_normal(parameter(), mode="fan"),
        lambda: init.kaiming_normal(parameter(), nonlinearity="step"),
        lambda: init.truncated_normal(parameter(), low=1, high=0),
        lambda: init.truncated_normal(parameter(), low=9, high=10),
        lambda: init.truncated_normal(parameter(), std=0),
    ],
)
def test_refused(call):
    with pytest.raises(ValueError):
        call()
