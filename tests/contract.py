"""What every layer promises, whatever it computes."""

import copy
import json
import threading

import numpy as np

from cconv import nn
from cconv.functional._arguments import is_channels_last

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def check_layer(make, shape, rng=0, samples_independent=True, describable=True):
    """Run every check of this file on the layer `make()` builds.

    Parameters
    ----------
    make : callable without arguments
    shape : of the input
    samples_independent : bool, whether inference treats each sample by itself
    describable : bool, whether it is made of layers of cconv.nn only
    """
    rng = np.random.default_rng(rng)
    layer = make().astype(np.float64)
    x = rng.standard_normal(shape)
    for train in (False, True):
        _check_arrays(layer, x, train, rng)
        _check_order(layer, x, train, rng)
        _check_two_calls(layer, x, train, rng)
        _check_need_dx(layer, x, train, rng)
    _check_float32(make, x)
    _check_shapes(layer, x)
    _check_threads(layer, x, rng)
    if describable:
        _check_rebuilt(layer, x)
    if samples_independent:
        _check_samples(layer, x, rng)


def run(layer, x, dy, train, **options):
    """(y, dx, parameter gradients) of one pass through a copy of `layer`."""
    layer = copy.deepcopy(layer)
    layer.zero_grad()
    y, backward = layer.forward(x, train)
    dx = backward(dy, **options)
    return y, dx, {name: parameter.grad for name, parameter in layer.named_parameters()}


def disguises(x):
    """`x` as users may hold it: (what it is, array of equal values)."""
    read_only = x.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    yield "strided", wide[..., ::2]
    yield "reversed", x[::-1].copy()[::-1]
    yield "byte-swapped", x.astype(x.dtype.newbyteorder())
    yield "Fortran order", np.asfortranarray(x)
    yield "channels-last", channels_last(x)
    raw = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    yield "unaligned", unaligned


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def _same(name, got, expected):
    for part, a, b in zip(("y", "dx"), got, expected, strict=False):
        np.testing.assert_allclose(a, b, err_msg=f"{part} of {name}", **CLOSE)
    for key in expected[2]:
        np.testing.assert_allclose(got[2][key], expected[2][key], err_msg=f"{key}.grad of {name}", **CLOSE)


def _dy_for(layer, x, train, rng):
    return rng.standard_normal(copy.deepcopy(layer).forward(x, train)[0].shape)


def _check_arrays(layer, x, train, rng):
    dy = _dy_for(layer, x, train, rng)
    kept_x, kept_dy = x.copy(), dy.copy()
    expected = run(layer, x, dy, train)
    np.testing.assert_array_equal(x, kept_x, "x was modified")
    np.testing.assert_array_equal(dy, kept_dy, "dy was modified")
    assert expected[0].dtype == expected[1].dtype == x.dtype
    for name, disguised in disguises(x):
        kept = disguised.copy()
        got = run(layer, disguised, dy, train)
        np.testing.assert_array_equal(disguised, kept, f"{name} x was modified")
        _same(f"{name} x", got, expected)
    for name, disguised in disguises(dy):
        kept = disguised.copy()
        _same(f"{name} dy", run(layer, x, disguised, train), expected)
        np.testing.assert_array_equal(disguised, kept, f"{name} dy was modified")


def _check_order(layer, x, train, rng):
    """What comes in channels-last goes out channels-last, forward and backward; channels-first likewise.

    One channel or one position lies in both orders."""
    dy = _dy_for(layer, x, train, rng)
    if x.ndim < 3 or x.shape[1] == 1 or np.prod(x.shape[2:]) == 1:
        return
    y, dx, _ = run(layer, channels_last(x), channels_last(dy), train)
    for name, array in (("y", y), ("dx", dx)):
        if array.ndim > 2 and array.shape[1] > 1 and np.prod(array.shape[2:]) > 1:
            assert is_channels_last(array), f"{name} is not channels-last"
    y, dx, _ = run(layer, x, dy, train)
    for name, array in (("y", y), ("dx", dx)):
        assert array.flags.c_contiguous, f"{name} is not channels-first"


def _check_two_calls(layer, x, train, rng):
    """Backward of one call does not see the other call."""
    other = rng.standard_normal(x.shape)
    dys = [_dy_for(layer, x, train, rng) for _ in range(2)]
    alone, together = copy.deepcopy(layer), copy.deepcopy(layer)
    expected = []
    for array, dy in zip((x, other), dys, strict=True):
        y, backward = alone.forward(array, train)
        expected.append((y.copy(), backward(dy)))
    first, second = together.forward(x, train), together.forward(other, train)
    got = [None, (second[0], second[1](dys[1]))]
    got[0] = (first[0], first[1](dys[0]))
    for (y, dx), (expected_y, expected_dx) in zip(got, expected, strict=True):
        np.testing.assert_array_equal(y, expected_y)
        np.testing.assert_array_equal(dx, expected_dx)


def _check_need_dx(layer, x, train, rng):
    dy = _dy_for(layer, x, train, rng)
    gradients = run(layer, x, dy, train)[2]
    without = run(layer, x, dy, train, need_dx=False)[2]
    for key in gradients:
        np.testing.assert_array_equal(without[key], gradients[key], f"{key}.grad with need_dx=False")


def _check_float32(make, x):
    single, double = make(), make().astype(np.float64)
    double.load_state_dict(single.state_dict())
    y, expected = single(x.astype(np.float32)), double(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4 * max(np.abs(expected).max(initial=0), 1e-30))


def _check_shapes(layer, x):
    """output_shape tells the truth, for an empty batch too; macs is a whole number that grows with the batch."""
    for n in (1, 3, 0):
        batch = np.concatenate([x] * 3)[:n]
        assert layer(batch).shape == tuple(layer.output_shape(batch.shape))
    one, three = (layer.macs((n, *x.shape[1:])) for n in (1, 3))
    assert isinstance(one, int) and three == 3 * one >= 0


def _check_threads(layer, x, rng):
    """Two threads may run one layer."""
    inputs = [rng.standard_normal(x.shape) for _ in range(2)]
    dy = _dy_for(layer, x, False, rng)
    expected = [run(layer, array, dy, False) for array in inputs]
    problems = []

    def work(i):
        try:
            for _ in range(5):
                y, backward = layer.forward(inputs[i], False)
                np.testing.assert_array_equal(y, expected[i][0])
                np.testing.assert_array_equal(backward(dy), expected[i][1])
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def _check_rebuilt(layer, x):
    """Description and state_dict are all there is to a layer."""
    description = json.loads(json.dumps(nn.describe(layer)))
    rebuilt = nn.build(description)
    assert [p.dtype for p in rebuilt.parameters()] == [p.dtype for p in layer.parameters()]
    rebuilt.astype(np.float64)
    assert nn.describe(rebuilt) == description
    rebuilt.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(rebuilt(x), layer(x))
    assert repr(rebuilt) == repr(layer)


def _check_samples(layer, x, rng):
    """The gradient of a batch is the sum of the gradients of its samples."""
    dy = _dy_for(layer, x, False, rng)
    y, dx, gradients = run(layer, x, dy, False)
    parts = [run(layer, x[i : i + 1], dy[i : i + 1], False) for i in range(len(x))]
    np.testing.assert_allclose(np.concatenate([part[0] for part in parts]), y, **CLOSE)
    np.testing.assert_allclose(np.concatenate([part[1] for part in parts]), dx, **CLOSE)
    for key, gradient in gradients.items():
        total = sum(part[2][key] for part in parts)
        np.testing.assert_allclose(total, gradient, err_msg=key, **CLOSE)
