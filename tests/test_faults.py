"""No memory, many threads, impossible sizes: kernels refuse or go on, leak nothing, and are right afterwards."""

import concurrent.futures
import os
import resource
import time

import numpy as np
import pytest

import cconv
from cconv import _gemm, _runtime, nn
from cconv import functional as F

SCALE = max(1, int(os.environ.get("CCONV_FAULTS", "1")))


def channels_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def calls(dtype=np.float32):
    """(name, call) of what the bindings export: every pass of every concept."""
    rng = np.random.default_rng(0)

    def real(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, w, b = channels_last(real(2, 12, 11, 9)), real(8, 12, 3, 3), real(8)
    dy, c = channels_last(real(2, 8, 11, 9)), real(12)
    for algo in F.conv_algorithms(x.shape, w.shape, 1, 1, dtype=dtype, channels_last=True):
        yield f"conv {algo}", lambda algo=algo: F.conv2d(x, w, b, padding=1, algo=algo)
        yield f"dx {algo}", lambda algo=algo: F.conv2d_backward_data(dy, w, (11, 9), padding=1, algo=algo)
        yield f"dw {algo}", lambda algo=algo: F.conv2d_backward_weight(x, dy, 3, padding=1, algo=algo)
    point, deep = real(8, 12, 1, 1), real(12, 1, 3, 3)
    yield "1x1", lambda: F.conv2d(x, point, stride=2)
    yield "1x1 dx", lambda: F.conv2d_backward_data(dy[..., :6, :5], point, (11, 9), stride=2)
    yield "1x1 dw", lambda: F.conv2d_backward_weight(x, dy[..., :6, :5], 1, stride=2)
    yield "depthwise", lambda: F.conv2d(x, deep, groups=12, padding=1)
    yield "depthwise dx", lambda: F.conv2d_backward_data(x, deep, (11, 9), groups=12, padding=1)
    yield "depthwise dw", lambda: F.conv2d_backward_weight(x, x, 3, groups=12, padding=1)
    pairs = real(12, 2, 3, 3)
    yield "grouped", lambda: F.conv2d(x, pairs, groups=6, padding=1)
    yield "grouped dx", lambda: F.conv2d_backward_data(x, pairs, (11, 9), groups=6, padding=1)
    yield "grouped dw", lambda: F.conv2d_backward_weight(x, x, 3, groups=6, padding=1)
    first = np.ascontiguousarray(x)
    if "blocks" in F.conv_algorithms(first.shape, pairs.shape, 1, 1, 1, 6, dtype):
        yield "blocks", lambda: F.conv2d(first, pairs, groups=6, padding=1, algo="blocks")
        yield "blocks dx", lambda: F.conv2d_backward_data(first, pairs, (11, 9), groups=6, padding=1, algo="blocks")
        yield "blocks dw", lambda: F.conv2d_backward_weight(first, first, 3, groups=6, padding=1, algo="blocks")
    plane, kernels = real(2, 1, 11, 40), real(3, 1, 3, 3)
    yield "stencil", lambda: F.conv2d(plane, kernels, padding=1, algo="stencil")
    yield "stencil dx", lambda: F.conv2d_backward_data(plane[:1], kernels[:1], (11, 40), padding=1, algo="stencil")
    yield "stencil dw", lambda: F.conv2d_backward_weight(plane, plane, 3, padding=1, algo="stencil")
    yield "conv3d", lambda: F.conv3d(x[:, :, None], w[:, :, None], padding=(0, 1, 1))
    yield "transposed", lambda: F.conv_transpose2d(dy, w, stride=2)
    yield "im2col", lambda: F.im2col(x, 3)
    yield "col2im", lambda: F.col2im(np.ones((2, 27, 63), dtype), (11, 9), 3)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    yield "max pool", lambda: F.max_pool2d(x, 3, 2, 1, return_indices=True)
    yield "max pool dx", lambda: F.max_pool2d_backward(y, indices, (11, 9))
    yield "unpool", lambda: F.max_unpool2d(y, indices, (11, 9))
    yield "average pool", lambda: F.avg_pool2d(x, 3, 2, 1)
    yield "average pool dx", lambda: F.avg_pool2d_backward(y, (11, 9), 2)
    yield "adaptive", lambda: F.adaptive_avg_pool2d(x, 4)
    _, mean, rstd = F.batch_norm_forward(x, c, c)
    yield "norm", lambda: F.batch_norm_forward(x, c, c)
    yield "norm dx", lambda: F.batch_norm_backward(x, x, mean, rstd, c)
    yield "norm inference", lambda: F.batch_norm_inference(x, c, c * c, c, c)
    yield "local norm", lambda: F.local_response_norm(x, 5)
    rows, matrix = real(7, 40), real(30, 40)
    yield "linear", lambda: F.linear(rows, matrix, matrix[:, 0])
    yield "linear dx", lambda: F.linear_backward(rows @ matrix.T, rows, matrix)
    target = np.array([0, 3, 2, 39, 1, 1, 0])
    yield "cross entropy", lambda: F.cross_entropy_forward(rows, target)
    yield "softmax", lambda: F.softmax(rows)
    yield "mse", lambda: F.mse_loss_backward(rows, rows)
    yield "gelu", lambda: F.gelu(x)
    yield "relu", lambda: F.relu(x)
    yield "dropout", lambda: F.dropout(x)
    if dtype == np.float32:
        yield "gemm", lambda: _gemm.gemm(rows, matrix, trans_b=True)
    layer = nn.Sequential(nn.Conv2d(12, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    layer = layer.astype(dtype)

    def step():
        out, backward = layer.forward(x, False)
        return out, backward(np.ones_like(out))

    yield "network", step


def bits(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part).tobytes() for part in parts]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_allocation_refused(dtype):
    refused = 0
    for name, call in calls(dtype):
        expected = bits(call())
        for persistent in (False, True):
            for successes in range(1000):
                live = _runtime.arena_stats()
                _runtime.arena_fail_after(successes, persistent)
                try:
                    done = bits(call())
                except MemoryError:
                    done = None
                finally:
                    _runtime.arena_fail_after(-1)
                now = _runtime.arena_stats()
                assert (now["blocks"], now["in_use"]) == (live["blocks"], live["in_use"]), (name, successes)
                if done is not None:
                    assert done == expected, name
                    break
                refused += 1
                assert bits(call()) == expected, (name, successes)
            else:
                pytest.fail(f"{name} asks for memory without end")
    assert refused > 150


@pytest.mark.parametrize("threads", [1, 3])
def test_eight_threads_at_once(threads):
    """Every kernel from eight threads gives the bits that it gives alone."""
    before = cconv.get_num_threads()
    cconv.set_num_threads(threads)
    try:
        todo = [(name, call, bits(call())) for name, call in calls() if name != "network"]

        def work(seed):
            for i in np.random.default_rng(seed).permutation(len(todo) * 5 * SCALE):
                name, call, expected = todo[i % len(todo)]
                assert bits(call()) == expected, name
            return True

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
    finally:
        cconv.set_num_threads(before)


HUGE = [2**31 - 1, 2**31, 2**32, 2**40, 2**61, 2**62, 2**63 - 1, 2**64, 4634247419717959497]


def test_impossible_sizes_are_refused_at_once():
    """Each within 10 ms and without memory, whatever the combination."""
    rng = np.random.default_rng(0)
    x, w, empty = np.ones((1, 2, 6, 6), np.float32), np.ones((2, 2, 3, 3), np.float32), np.ones((0, 2, 6, 6))
    zeros = np.zeros(x.shape, np.int64)

    def size():
        return HUGE[rng.integers(len(HUGE))]

    attempts = [
        lambda: F.conv2d(x, w, padding=size()),
        lambda: F.conv2d(x, w, padding=((size(), 0), (0, size()))),
        lambda: F.conv2d_backward_data(x, w, (size(), size())),
        lambda: F.conv2d_backward_weight(x, x, (size(), 3), padding=size()),
        lambda: F.conv2d(empty, np.ones((2, 2, 3, 3)), padding=size() + 2**61),
        lambda: F.conv_transpose2d(x, w, stride=(size(), size())),
        lambda: F.max_pool2d(x, size()),
        lambda: F.avg_pool2d(x, (size(), 2)),
        lambda: F.avg_pool2d_backward(x, (size(), size()), 2),
        lambda: F.adaptive_avg_pool2d(x, (size(), size())),
        lambda: F.max_unpool2d(x, zeros, (size(), size())),
        lambda: F.max_pool2d_backward(x, zeros, (size(), size())),
        lambda: F.col2im(x[0], (size(), size()), 3),
        lambda: F.im2col(x, 3, padding=size()),
    ]
    cconv.runtime.load_blas()
    for attempt in attempts:
        with pytest.raises((ValueError, MemoryError)):
            attempt()
    before, slow = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for i in range(2000 * SCALE):
        start = time.thread_time()
        try:
            attempts[i % len(attempts)]()
            pytest.fail(f"attempt {i % len(attempts)} was accepted")
        except (ValueError, MemoryError):
            pass
        slow += time.thread_time() - start > 0.01
    assert slow <= 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048


@pytest.mark.parametrize("last", [False, True])
def test_sizes_of_nothing_to_two(last):
    """Every combination of 0, 1, 2 in N, C, K, H, W and the kernel: a result of the right shape, or ValueError."""
    done = 0
    for code in range(3**6):
        n, c, k, h, kernel, pad = (code // 3**i % 3 for i in range(6))
        x, w = np.ones((n, c, h, 2), np.float32), np.ones((k, c, kernel, 1), np.float32)
        x = channels_last(x) if last else x
        out = h + 2 * pad - kernel + 1
        if kernel == 0 or out < 1:
            with pytest.raises(ValueError):
                F.conv2d(x, w, padding=(pad, 0))
            continue
        y = F.conv2d(x, w, np.ones(k, np.float32), padding=(pad, 0))
        assert y.shape == (n, k, out, 2)
        dx = F.conv2d_backward_data(y, w, (h, 2), padding=(pad, 0))
        dw = F.conv2d_backward_weight(x, y, (kernel, 1), padding=(pad, 0))
        assert dx.shape == x.shape and dw.shape == w.shape
        if c == 0 or h == 0:
            assert (y == 1).all()
        if n == 0 or h == 0:
            assert not dw.any()
        if k == 0:
            assert not dx.any()
        for f in (F.relu, F.softmax, F.dropout):
            assert f(x).shape == x.shape
        done += 1
    assert done > 200
