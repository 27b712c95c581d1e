"""Every convolution algorithm against the oracle and published values."""

import itertools
from ast import literal_eval

import numpy as np
import oracle_conv as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cconv
from cconv import _conv, _runtime
from cconv import functional as F
from cconv.functional.conv import prepare

X, K = np.arange(9.0).reshape(1, 1, 3, 3), np.arange(4.0).reshape(1, 1, 2, 2)


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def integers(rng, shape, dtype):
    return rng.integers(-4, 5, shape).astype(dtype)


def same(got, expected, algo):
    bound = 2e-5 if got.dtype == np.float32 else 1e-12
    if algo == "fft":  # rounds relatively to its largest terms, which may cancel
        np.testing.assert_allclose(got, expected, rtol=0, atol=bound * max(np.abs(expected).max(initial=0), 30))
    elif algo in ("winograd", "winograd_dilated"):
        assert np.linalg.norm(got - expected) <= bound * max(np.linalg.norm(expected), 1e-30)
    else:
        np.testing.assert_array_equal(got, expected)


def check(n, channels, out_channels, size, kernel, stride, pads, dilation, groups, dtype, last, seed=0):
    """All three passes by all algorithms that list the geometry; how many did."""
    rank = len(size)
    rng = np.random.default_rng(seed)
    x = integers(rng, (n, channels, *size), dtype)
    w = integers(rng, (out_channels, channels // groups, *kernel), dtype)
    b = integers(rng, (out_channels,), dtype)
    y = oracle.forward(x, w, b, stride, pads, dilation, groups)
    dy = integers(rng, y.shape, dtype)
    dx = oracle.backward_data(dy, w, size, stride, pads, dilation, groups)
    dw = oracle.backward_weight(x, dy, kernel, stride, pads, dilation, groups)
    # <conv x, dy> == <x, conv^T dy> == <w, dw>
    linear = float(np.sum((y - b.reshape(-1, *(1,) * rank)) * dy))
    assert linear == float(np.sum(x * dx)) == float(np.sum(w * dw))
    if last:
        x, dy = channels_last(x), channels_last(dy)
    args = (stride, pads, dilation, groups)
    forward, data, weight = (getattr(F, f"conv{rank}d{s}") for s in ("", "_backward_data", "_backward_weight"))
    for direction, call, expected in (
        ("forward", lambda a: forward(x, w, b, *args, a), y),
        ("backward_data", lambda a: data(dy, w, size, *args, a), dx),
        ("backward_weight", lambda a: weight(x, dy, kernel, *args, a), dw),
    ):
        # An array of one channel or position lies in both orders and counts as channels-first.
        order = _conv.memory_order(dy if direction == "backward_data" else x) == 1
        names = F.conv_algorithms(x.shape, w.shape, *args, dtype, order, direction)
        assert names[-1] == "reference"
        for algo in names:
            got = call(algo)
            assert got.dtype == dtype
            same(got, expected, algo)


GRID = [
    (rank, k, s, p, d, g)
    for rank in (1, 2, 3)
    for k, s, p, d, g in itertools.product((1, 2, 3), (1, 2), (0, (1, 2)), (1, 2), (1, 2))
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grid(dtype, last):
    for rank, k, s, p, d, g in GRID:
        pads = (((p, p) if p == 0 else p),) * rank
        check(2, 4, 6, (6, 5, 7)[:rank], (k,) * rank, (s,) * rank, pads, (d,) * rank, g, dtype, last)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "n, c, o, size, k, s, p, g",
    [(3, 40, 33, (9, 11), 3, 1, 1, 1), (2, 64, 48, (8, 8), 1, 1, 0, 1), (1, 3, 16, (23, 23), 7, 2, 3, 1),
     (2, 24, 24, (9, 9), 3, 1, 1, 24), (17, 8, 8, (5, 5), 3, 1, 1, 2), (1, 130, 5, (13, 12), 5, 1, 2, 1)],
)  # fmt: skip
def test_larger(n, c, o, size, k, s, p, g, last):
    check(n, c, o, size, (k, k), (s, s), ((p, p),) * 2, (1, 1), g, np.float32, last)


@pytest.mark.parametrize(
    "size, k, s, p, d",
    [((2, 2), 3, 1, (1, 1), 1), ((1, 1), 3, 1, (1, 1), 1), ((3, 2), 5, 1, (2, 2), 1), ((2, 3), 3, 2, (1, 2), 1),
     ((3, 3), 3, 2, (2, 0), 2), ((1, 2, 2), 3, 1, (1, 1), 1), ((2,), 2, 3, (2, 2), 1)],
)  # fmt: skip
@pytest.mark.parametrize("n, c, o", [(8, 5, 40), (31, 33, 18)])
def test_kernels_beyond_the_image(n, c, o, size, k, s, p, d):
    rank = len(size)
    check(n, c, o, size, (k,) * rank, (s,) * rank, (p,) * rank, (d,) * rank, 1, np.float32, True)


axis = st.tuples(*[st.integers(1, 4)] * 2, st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))


@settings(max_examples=60)
@given(
    st.lists(axis, min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.integers(1, 2), st.sampled_from([np.float32, np.float64]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_random_geometry(axes, n, icg, ocg, groups, dtype, last, seed):
    k, extra, s, before, after, d = zip(*axes, strict=True)
    size = tuple(max(e + dd * (kk - 1) - a - b, 1) for e, kk, a, b, dd in zip(extra, k, before, after, d, strict=True))
    pads = tuple(zip(before, after, strict=True))
    check(n, icg * groups, ocg * groups, size, k, s, pads, d, groups, dtype, last, seed)


D = np.arange(25.0).reshape(1, 1, 5, 5)
PUBLISHED = [
    (X, K, {}, [[19, 25], [37, 43]]),
    (X, K[:, :, ::-1, ::-1], {}, [[5, 11], [23, 29]]),
    (X, K, {"padding": 1}, [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]),
    (X, K, {"padding": 1, "stride": (3, 2)}, [[0, 8], [6, 8]]),
    (X, K, {"padding": "same"}, [[19, 25, 10], [37, 43, 16], [7, 8, 0]]),
    (X, K, {"padding": "same_lower"}, [[0, 3, 8], [9, 19, 25], [21, 37, 43]]),
    (X, K[:, :, ::-1, ::-1], {"padding": "full"}, [[0, 0, 1, 2], [0, 5, 11, 11], [6, 23, 29, 23], [12, 32, 37, 24]]),
    (K, X[:, :, ::-1, ::-1], {"padding": "full"}, [[0, 0, 1, 2], [0, 5, 11, 11], [6, 23, 29, 23], [12, 32, 37, 24]]),
    (K, X, {"padding": "full"}, [[0, 8, 7, 6], [16, 43, 37, 21], [10, 25, 19, 9], [4, 8, 3, 0]]),
    (D, K, {"dilation": 2}, [[58, 64, 70], [88, 94, 100], [118, 124, 130]]),
    (np.concatenate([X, X + 1], 1), np.concatenate([K, K + 1], 1), {}, [[56, 72], [104, 120]]),
    (np.arange(18.0).reshape(1, 2, 3, 3), np.arange(8.0).reshape(2, 1, 2, 2), {"groups": 2},
     [[[19, 25], [37, 43]], [[249, 271], [315, 337]]]),
]  # fmt: skip


def all_algorithms(x, w, dtype, **kwargs):
    names = F.conv_algorithms(x.shape, w.shape, dtype=dtype, **kwargs)
    return [(algo, F.conv2d(x.astype(dtype), w.astype(dtype), algo=algo, **kwargs)) for algo in names]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x, w, kwargs, expected", PUBLISHED)
def test_published(x, w, kwargs, expected, dtype):
    for algo, y in all_algorithms(x, w, dtype, **kwargs):
        same(y, np.array(expected).reshape(y.shape), algo)


def counting(n, h, w, c):
    return np.arange(1.0, n * h * w * c + 1).reshape(n, h, w, c).transpose(0, 3, 1, 2)


def counting_kernel(kh, kw, ci, co):
    return np.arange(1.0, kh * kw * ci * co + 1).reshape(kh, kw, ci, co).transpose(3, 2, 0, 1)


TENSORFLOW = """
1,2,3,3|1,1,3,3|1|"valid"|1|30 36 42 66 81 96 102 126 150 138 171 204 174 216 258 210 261 312
1,2,3,3|2,2,3,3|1|"valid"|1|2271 2367 2463 2901 3033 3165
1,2,3,3|1,2,3,3|1|"valid"|1|231 252 273 384 423 462 690 765 840 843 936 1029
1,2,3,3|2,2,3,3|2|"valid"|1|2271 2367 2463
1,2,3,3|2,2,3,3|2|"same"|1|2271 2367 2463 1230 1305 1380
1,3,6,1|2,2,1,1|(1,2)|"valid"|1|58 78 98 118 138 158
1,7,7,1|2,2,1,1|3|"valid"|1|65 95 275 305
1,3,3,1|1,1,1,1|2|"same"|1|1 3 7 9
1,4,4,1|1,1,1,1|2|"same"|1|1 3 9 11
1,4,4,1|2,2,1,1|3|"same"|1|44 28 41 16
1,2,2,1|2,2,1,2|1|"valid"|1|50 60
1,2,3,3|2,2,3,3|2|"same_lower"|1|1113 1152 1191 2901 3033 3165
1,4,4,1|2,2,1,1|3|"same_lower"|1|4 25 70 144
1,2,3,2|2,2,2,2|1|1|1|43 46 130 140 226 244 111 122 230 248 468 512 596 656 254 288 91 106 146 180 178 220 47 70
1,2,3,3|2,2,3,2|1|((0,3),(0,0))|1|1546 1642 1978 2110 485 560 593 686 0 0 0 0 0 0 0 0
1,2,3,3|2,2,3,2|1|((1,0),(0,2))|1|413 434 737 776 364 388 0 0 1546 1642 1978 2110 845 920 0 0
1,2,4,2|2,2,2,2|(1,3)|((1,0),(0,2))|1|130 140 151 166 564 616 342 388
1,3,2,1|1,2,1,2|1|((1,0),(0,1))|(2,1)|0 0 0 0 7 10 2 4 15 22 4 8 23 34 6 12
1,2,3,2|3,2,2,1|1|((2,1),(1,2))|(2,3)|83 17 39
1,4,4,1|2,2,1,1|1|"valid"|(2,1)|72 82 92 112 122 132
1,2,3,3|2,2,3,3|1|"valid"|(1,2)|2667 2781 2895
1,3,3,1|2,2,1,2|1|"valid"|(2,2)|108 128
"""


@pytest.mark.parametrize("line", TENSORFLOW.strip().splitlines())
def test_tensorflow(line):
    shape, kernel, stride, padding, dilation, numbers = line.split("|")
    x, w = counting(*literal_eval(shape)), counting_kernel(*literal_eval(kernel))
    kwargs = {"stride": literal_eval(stride), "padding": literal_eval(padding), "dilation": literal_eval(dilation)}
    for dtype in (np.float32, np.float64):
        for algo, y in all_algorithms(x, w, dtype, **kwargs):
            same(y.transpose(0, 2, 3, 1).ravel(), np.array(numbers.split(), dtype), algo)


BACKWARD = """
1,2,3,1|2,2,1,1|1,1,2,1|1|"valid"|1 4 4 3 10 8|5 8 14 17
1,3,6,1|2,2,1,1|1,2,3,1|(1,2)|"valid"|1 2 2 4 3 6 7 12 11 18 15 24 12 16 15 20 18 24|161 182 287 308
1,4,4,1|1,1,1,1|1,2,2,1|2|"same"|1 0 2 0 0 0 0 0 3 0 4 0 0 0 0 0|78
1,2,2,1|2,2,1,2|1,1,1,2|1|"valid"|5 11 17 23|1 2 2 4 3 6 4 8
0,2,3,1|2,2,1,1|0,1,2,1|1|"valid"||0 0 0 0
1,2,3,1|2,2,1,0|1,1,2,0|1|"valid"|0 0 0 0 0 0|
1,2,3,3|2,2,3,3|1,1,2,3|1|"valid"|14 32 50 100 163 226 167 212 257 122 140 158 478 541 604 437 482 527|17 22 27 22 29 36 27 36 45 32 43 54 37 50 63 42 57 72 62 85 108 67 92 117 72 99 126 77 106 135 82 113 144 87 120 153
"""  # noqa: E501


@pytest.mark.parametrize("line", BACKWARD.strip().splitlines())
def test_tensorflow_backward(line):
    shape, kernel, dy_shape, stride, padding, dx, dw = line.split("|")
    x, w, dy = counting(*literal_eval(shape)), counting_kernel(*literal_eval(kernel)), counting(*literal_eval(dy_shape))
    args = (literal_eval(stride), literal_eval(padding))
    got = F.conv2d_backward_data(dy, w, x.shape[2:], *args)
    assert got.transpose(0, 2, 3, 1).ravel().tolist() == list(map(float, dx.split()))
    got = F.conv2d_backward_weight(x, dy, w.shape[2:], *args)
    assert got.transpose(2, 3, 1, 0).ravel().tolist() == list(map(float, dw.split()))


def test_cs231n():
    x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
    w, b = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4), np.linspace(-0.1, 0.2, 3)
    expected = [-0.08759809, -0.10987781, -0.18387192, -0.2109216, 0.21027089, 0.21661097, 0.22847626, 0.23004637,
                0.50813986, 0.54309974, 0.64082444, 0.67101435, -0.98053589, -1.03143541, -1.19128892, -1.24695841,
                0.69108355, 0.66880383, 0.59480972, 0.56776003, 2.36270298, 2.36904306, 2.38090835, 2.38247847]  # fmt: skip
    np.testing.assert_allclose(F.conv2d(x, w, b, 2, 1).ravel(), expected, atol=1e-8)


def test_strided_weight():
    w = np.arange(0, 1, 2**-10, dtype=np.float32).reshape(32, 16, 1, 2)[:, :, :, ::2]
    assert F.conv2d(np.ones((64, 16, 16, 16), np.float32), w).sum(dtype=np.float64) == 4186112.0


def test_learns_the_edge_kernel():
    x = np.ones((1, 1, 6, 8))
    x[..., 2:6] = 0
    target, w = F.conv2d(x, np.array([[[[1.0, -1.0]]]])), np.zeros((1, 1, 1, 2))
    for step in range(1, 11):
        dy = 2 * (F.conv2d(x, w) - target)
        w = w - 0.03 * F.conv2d_backward_weight(x, dy, (1, 2))
        np.testing.assert_allclose(w.ravel(), (1 - 0.64**step) * np.array([1, -1]), rtol=1e-12)


def test_empty():
    b = np.arange(3.0)
    y = F.conv2d(np.empty((2, 0, 4, 4)), np.empty((3, 0, 3, 3)), b)
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None, None], (2, 3, 2, 2)))
    assert F.conv2d(np.empty((0, 3, 2, 3)), np.ones((3, 3, 1, 1)), padding=0).shape == (0, 3, 2, 3)
    assert not F.conv2d(np.empty((1, 1, 0, 2)), np.ones((1, 1, 1, 1)), padding=1).any()
    assert not F.conv2d_backward_weight(np.empty((0, 2, 4, 4)), np.empty((0, 3, 2, 2)), 3).any()


def test_any_memory():
    rng = np.random.default_rng(3)
    x, w = integers(rng, (2, 4, 6, 7), np.float32), integers(rng, (5, 4, 3, 3), np.float32)
    y = F.conv2d(x, w, padding=1, algo="im2col")
    views = [channels_last(x), np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, 3)[..., ::2],
             x[:, ::-1].copy()[:, ::-1], x[..., ::-1, :].copy()[..., ::-1, :]]  # fmt: skip
    for view in views:
        view.flags.writeable = False
        np.testing.assert_array_equal(F.conv2d(view, w.astype(">f4"), padding=1), y)
    assert _conv.memory_order(F.conv2d(channels_last(x), w)) == 1


@pytest.mark.parametrize(
    "x, w, kwargs, word",
    [
        (X[0], K, {}, "x"),
        (X, K[0], {}, "weight"),
        (X, np.ones((1, 2, 2, 2)), {}, "weight"),
        (X, np.ones((1, 1, 4, 4)), {}, "kernel_size"),
        (X, np.ones((1, 1, 0, 2)), {}, "weight"),
        (X, K, {"stride": 0}, "stride"),
        (X, K, {"dilation": 0}, "dilation"),
        (X, K, {"groups": 0}, "groups"),
        (X, K, {"groups": 2}, "groups"),
        (X, K, {"padding": -1}, "padding"),
        (X, K, {"padding": "some"}, "padding"),
        (X, K, {"padding": 2**62}, "overflow|large|size"),
        (X, K, {"dilation": 2**62, "padding": "full"}, "size"),
        (X, K, {"bias": np.ones(2)}, "bias"),
        (X, K, {"algo": "fastest"}, "algo"),
        (X, K, {"stride": 2**70}, "stride"),
    ],
)
def test_refused(x, w, kwargs, word):
    with pytest.raises(ValueError, match=word):
        F.conv2d(x, w, **kwargs)


def test_refused_types():
    for x, w in ((X.astype(int), K), (X, K.astype(np.float32)), (X.astype(np.float16), K)):
        with pytest.raises(TypeError):
            F.conv2d(x, w)
    with pytest.raises(TypeError, match="stride"):
        F.conv2d(X, K, stride=1.5)
    with pytest.raises(ValueError):
        F.conv2d_backward_weight(X, X, 2**32, padding=2**62)
    with pytest.raises(ValueError, match="dy"):
        F.conv2d_backward_data(X, K, (9, 9))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape, groups", [((5, 12, 19, 17), 2), ((19, 140, 2, 2), 1)])
def test_same_bits_on_any_number_of_threads(last, shape, groups):
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal(shape, np.float32), rng.standard_normal((200, shape[1] // groups, 3, 3), np.float32)
    x = channels_last(x) if last else x
    dy = F.conv2d(x, w, padding=1, groups=groups)
    before, seen = cconv.get_num_threads(), {}
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            for direction in _conv.PASSES:
                for algo in F.conv_algorithms(x.shape, w.shape, 1, 1, 1, groups, np.float32, last, direction):
                    if direction == "forward":
                        bits = F.conv2d(x, w, None, 1, 1, 1, groups, algo).tobytes()
                    elif direction == "backward_data":
                        bits = F.conv2d_backward_data(dy, w, x.shape[2:], 1, 1, 1, groups, algo).tobytes()
                    else:
                        bits = F.conv2d_backward_weight(x, dy, 3, 1, 1, 1, groups, algo).tobytes()
                    assert seen.setdefault((direction, algo), bits) == bits, (direction, algo, threads)
    finally:
        cconv.set_num_threads(before)


def test_no_memory():
    x, w = channels_last(np.ones((2, 8, 9, 9), np.float32)), np.ones((8, 8, 3, 3), np.float32)
    for algo in F.conv_algorithms(x.shape, w.shape, channels_last=True):
        expected = F.conv2d(x, w, algo=algo)
        for successes in range(10):
            _runtime.arena_fail_after(successes)
            try:
                F.conv2d(x, w, algo=algo)
                break
            except MemoryError:
                pass
            finally:
                _runtime.arena_fail_after(-1)
            np.testing.assert_array_equal(F.conv2d(x, w, algo=algo), expected)
        assert successes > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n, size", [(3, (9, 7)), (17, (2, 2))])
@pytest.mark.parametrize("kernel, stride, groups", [(3, 1, 1), (3, 2, 2), (1, 1, 1), (1, 2, 1), (1, 1, 2), (5, 1, 1)])
def test_epilogue(kernel, stride, groups, n, size, last, dtype):
    """relu(conv(x) * scale + bias + residual), each part there or not, and dx + residual, by every algorithm."""
    rng = np.random.default_rng(kernel + stride)
    pads = ((kernel // 2,) * 2,) * 2
    x, w = integers(rng, (n, 18, *size), dtype), integers(rng, (20, 18 // groups, kernel, kernel), dtype)
    scale, bias = integers(rng, 20, dtype), integers(rng, 20, dtype)
    args = ((stride,) * 2, pads, (1, 1), groups)
    y = oracle.forward(x, w, None, *args)
    residual, dy, onto = integers(rng, y.shape, dtype), integers(rng, y.shape, dtype), integers(rng, x.shape, dtype)
    dx = onto + oracle.backward_data(dy, w, x.shape[2:], *args)
    arrange = channels_last if last else np.ascontiguousarray
    x, dy, residual, onto = map(arrange, (x, dy, residual, onto))
    auto = prepare(x.shape, w.shape, *args, "auto", dtype, last)
    for algo in auto.algorithms("forward"):
        geometry = prepare(x.shape, w.shape, *args, algo, dtype, last)
        for parts in itertools.product((False, True), repeat=4):
            s, b, r = (a if part else None for a, part in zip((scale, bias, residual), parts[:3], strict=True))
            expected = y * (1 if s is None else s[:, None, None]) + (0 if b is None else b[:, None, None])
            expected = expected + (0 if r is None else r)
            expected = np.maximum(expected, 0) if parts[3] else expected
            same(geometry.forward(x, w, b, r, parts[3], s), expected, algo)
    for algo in auto.algorithms("backward_data"):
        geometry = prepare(x.shape, w.shape, *args, algo, dtype, last)
        same(geometry.backward_data(dy, w, onto), dx, algo)
        assert geometry.takes_dx(onto) and not geometry.takes_dx(onto[:2]) and not geometry.takes_dx(None)
        with pytest.raises(ValueError, match="residual"):
            geometry.backward_data(dy, w, onto[:2])


def test_winograd_epilogue_survives_the_fallback():
    """What overflows in the transforms is computed again directly, epilogue included."""
    rng = np.random.default_rng(0)
    x, w = channels_last(integers(rng, (2, 16, 8, 8), np.float32)), integers(rng, (16, 16, 3, 3), np.float32)
    x[0, 0, 0, 0] = 2e38
    w[:, 0] = 1
    scale, bias = integers(rng, 16, np.float32), integers(rng, 16, np.float32)
    residual = channels_last(integers(rng, (2, 16, 8, 8), np.float32))
    by = {a: prepare(x.shape, w.shape, 1, 1, algo=a, channels_last=True) for a in ("winograd", "direct")}
    forward = {a: g.forward(x, w, bias, residual, True, scale) for a, g in by.items()}
    np.testing.assert_array_equal(forward["winograd"], forward["direct"])
    data = {a: g.backward_data(x, w, residual) for a, g in by.items()}
    np.testing.assert_array_equal(data["winograd"], data["direct"])
