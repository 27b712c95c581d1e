"""`out=` of every function of cconv.functional that returns one array: where it lies and what it overlaps make no difference."""

import inspect

import numpy as np
import pytest
from contract import channels_last
from test_functions import CALLS, NAMES, arrays

from cconv import _runtime
from cconv import functional as F

TAKING = [name for name in NAMES if "out" in inspect.signature(getattr(F, name)).parameters]
SHIFTS = (0, 1, -1, 7, -16, 1000)  # elements


def run(name, call, **options):
    return getattr(F, name)(**call, **options)


def test_every_function_that_returns_an_array_takes_out():
    """Losses, which are numbers unless asked for one a sample, and functions that return several arrays do not."""
    one = {
        name
        for name in NAMES
        if isinstance(run(name, CALLS[name]), np.ndarray) and (name.endswith("_backward") or "loss" not in name)
    }
    assert one - {"binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div"} == set(TAKING)
    for name in TAKING:
        assert "`out`" in inspect.getdoc(getattr(F, name)) or "\nout : " in inspect.getdoc(getattr(F, name)), name
        assert inspect.signature(getattr(F, name)).parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY, name


def of_dtype(call, dtype):
    return {
        key: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for key, value in call.items()
    }


def places(shape, dtype):
    """(what it is, array full of NaN)"""
    yield "contiguous", np.full(shape, np.nan, dtype)
    yield "Fortran order", np.full(shape, np.nan, dtype, order="F")
    wide = np.full((*shape[:-1], 2 * shape[-1]), np.nan, dtype)
    yield "strided", wide[..., ::2]
    yield "reversed", np.full(shape, np.nan, dtype)[::-1]
    if len(shape) > 2:
        yield "channels-last", channels_last(np.full(shape, np.nan, dtype))
    raw = np.zeros(int(np.prod(shape)) * np.dtype(dtype).itemsize + 1, np.uint8)
    yield "unaligned", raw[1:].view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TAKING)
def test_out_of_any_kind(name, dtype):
    call = of_dtype(CALLS[name], dtype)
    in_order = {
        key: channels_last(value) if value.ndim > 2 else value for key, value in call.items() if key in arrays(call)
    }
    for given in (call, call | in_order):
        expected = run(name, given)
        for kind, out in places(expected.shape, expected.dtype):
            assert run(name, given, out=out) is out
            np.testing.assert_array_equal(out, expected, kind)


def sharing(value, shape, dtype, shift):
    """(`value`, an array of `shape`) in one piece of memory, the second `shift` elements behind the first."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    behind = max(0, -shift) * 8
    memory = np.zeros(behind + max(value.nbytes, shift * 8 + size) + 8 * abs(shift), np.uint8)
    first = memory[behind : behind + value.nbytes].view(value.dtype).reshape(value.shape)
    first[...] = value
    start = behind + shift * 8
    return first, memory[start : start + size].view(dtype).reshape(shape)


@pytest.mark.parametrize("name", TAKING)
def test_out_that_overlaps_an_argument(name):
    """The alias grid: each argument, the same memory or shifted, in both memory orders; and `out` is the argument."""
    call = CALLS[name]
    expected = run(name, call)
    for key in arrays(call):
        for shift in SHIFTS:
            argument, out = sharing(call[key], expected.shape, expected.dtype, shift)
            run(name, call | {key: argument}, out=out)
            np.testing.assert_array_equal(out, expected, f"{key}, shifted by {shift}")
        if call[key].ndim > 2:
            lying = np.moveaxis(call[key], 1, -1)
            memory, out = sharing(np.ascontiguousarray(lying), expected.shape, expected.dtype, 1)
            argument = np.moveaxis(memory, -1, 1)
            wanted = run(name, call | {key: argument.copy(order="K")})
            np.testing.assert_array_equal(run(name, call | {key: argument}, out=out), wanted, f"channels-last {key}")
        if call[key].shape == expected.shape and call[key].dtype == expected.dtype:
            for same in (call[key].copy(), channels_last(call[key]) if call[key].ndim > 2 else call[key].copy()):
                wanted = run(name, call | {key: same.copy(order="K")})
                assert run(name, call | {key: same}, out=same) is same
                np.testing.assert_array_equal(same, wanted, f"out is {key}")
            turned = call[key].copy()
            run(name, call | {key: turned}, out=turned[::-1])
            np.testing.assert_allclose(turned[::-1], expected, rtol=1e-12, atol=1e-12, err_msg=f"out is {key}, turned")


class Bare:
    """What numpy makes an array of without a copy."""

    def __init__(self, array):
        self.__array_interface__ = array.__array_interface__
        self.array = array


@pytest.mark.parametrize("name", TAKING)
def test_out_that_overlaps_what_is_no_array(name):
    call = CALLS[name]
    expected = run(name, call)
    for key in arrays(call):
        if call[key].ndim > 0:
            argument, out = sharing(call[key], expected.shape, expected.dtype, 1)
            np.testing.assert_array_equal(run(name, call | {key: Bare(argument)}, out=out), expected, key)


@pytest.mark.parametrize("name", TAKING)
def test_out_that_does_not_fit(name):
    """An error that names it, before it is written to."""
    call = CALLS[name]
    expected = run(name, call)
    shape, dtype = expected.shape, expected.dtype
    read_only = np.zeros(shape, dtype)
    read_only.flags.writeable = False
    wrong = [
        (read_only, ValueError), (np.zeros((*shape, 1), dtype), ValueError), (np.zeros((1, *shape), dtype), ValueError),
        (np.zeros((*shape[:-1], shape[-1] + 1), dtype), ValueError), (np.zeros(shape[::-1] + (2,), dtype), ValueError),
        (np.zeros(shape[:-1], dtype), ValueError), (np.zeros((0, *shape[1:]), dtype), ValueError),
        (np.zeros(shape, np.float32), TypeError), (np.zeros(shape, np.float16), TypeError),
        (np.zeros(shape, np.int64), TypeError), (np.zeros(shape, complex), TypeError),
        (np.zeros(shape, object), TypeError), (np.zeros(shape, dtype.newbyteorder()), TypeError),
        (np.ma.zeros(shape, dtype), TypeError), (expected.tolist(), TypeError), (True, TypeError),
        (memoryview(np.zeros(shape, dtype)), TypeError),
    ]  # fmt: skip
    for out, error in wrong:
        with pytest.raises(error, match="out"):
            run(name, call, out=out)
        if isinstance(out, np.ndarray):
            assert not out.any()


def test_out_of_several_arrays():
    with pytest.raises(ValueError, match="out"):
        F.max_pool2d(np.ones((1, 1, 4, 4)), 2, return_indices=True, out=np.zeros((1, 1, 2, 2)))


@pytest.mark.parametrize("algo", ["winograd", "pointwise", "depthwise"])
def test_out_survives_a_refusal(algo):
    """An algorithm that cannot do it, or an index outside, leaves `out` as it was."""
    x, out = np.ones((1, 4, 9, 9), np.float32), np.full((6, 4, 3, 3), 7, np.float32)
    with pytest.raises(ValueError, match="algo"):
        F.conv2d_backward_weight(x, np.ones((1, 6, 4, 4), np.float32), 3, stride=2, algo=algo, out=out)
    assert (out == 7).all()
    flat = np.full((1, 1, 4, 4), 7.0)
    with pytest.raises(IndexError):
        F.max_unpool2d(np.ones((1, 1, 2, 2)), np.array([[[[0, 1], [2, 16]]]]), 4, out=flat)
    assert (flat == 7).all()


@pytest.mark.parametrize("order", [np.asarray, channels_last])
def test_out_is_written_to_at_once(order):
    """Kernels write where they are told: no memory of the result's size is asked for."""
    x, w = order(np.ones((2, 3, 40, 40), np.float32)), np.ones((8, 3, 3, 3), np.float32)
    wide, out = order(np.ones((2, 8, 76, 76), np.float32)), order(np.zeros((2, 8, 38, 38), np.float32))
    narrow = order(np.ones(out.shape, np.float32))
    for name, call in {
        "conv2d": lambda **to: F.conv2d(x, w, algo="reference", **to),
        "relu": lambda **to: F.relu(narrow, **to),
        "max_pool2d": lambda **to: F.max_pool2d(wide, 2, **to),
        "avg_pool2d": lambda **to: F.avg_pool2d(wide, 2, **to),
    }.items():
        live = _runtime.arena_stats()["in_use"]
        _runtime.arena_reset_peak()
        assert call(out=out) is out
        assert _runtime.arena_stats()["peak"] - live < out.nbytes, name
        _runtime.arena_reset_peak()
        call()
        assert _runtime.arena_stats()["peak"] - live >= out.nbytes, name
