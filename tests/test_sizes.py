"""Sizes at both ends: nothing along some axis, and more than any memory holds."""

import itertools
import random
import time

import numpy as np
import pytest

from cconv import functional as F

REFUSALS = (ValueError, TypeError, MemoryError)


def of_rank(name, rank):
    return getattr(F, name.replace("#", str(rank)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_of_nothing(padding, dtype):
    """A batch, channels, an image or filters of size 0: the output has the shape the formula says, and holds the bias.
    Only a kernel of no elements, or one larger than the padded image, is refused."""
    for n, c, h, w, oc, k in itertools.product((0, 1), (0, 2), (0, 1, 2), (0, 2), (0, 2), (0, 1, 2)):
        x, weight, bias = np.ones((n, c, h, w), dtype), np.ones((oc, c, k, k), dtype), np.full(oc, 3, dtype)
        oh, ow = h + 2 * padding - k + 1, w + 2 * padding - k + 1
        if k == 0 or min(oh, ow) < 1:
            with pytest.raises(ValueError, match="kernel"):
                F.conv2d(x, weight, bias, padding=padding)
            continue
        y = F.conv2d(x, weight, bias, padding=padding)
        assert y.shape == (n, oc, oh, ow)
        if 0 in (c, h, w):
            assert (y == 3).all()
        dx = F.conv2d_backward_data(y, weight, (h, w), padding=padding)
        dw = F.conv2d_backward_weight(x, y, k, padding=padding)
        assert dx.shape == x.shape and dw.shape == weight.shape
        if 0 in (n, oc, h, w):
            assert not dw.any() and (oc > 0 or not dx.any())


def test_transposed_convolution_of_nothing():
    for n, c, h, oc, k in itertools.product((0, 1), (0, 2), (0, 1, 2), (0, 2), (0, 1, 3)):
        x, weight = np.ones((n, c, h, 2), np.float32), np.ones((c, oc, k, k), np.float32)
        if k == 0 or h == 0:
            with pytest.raises(ValueError, match="kernel|size"):
                F.conv_transpose2d(x, weight, stride=2)
            continue
        y = F.conv_transpose2d(x, weight, np.full(oc, 3, np.float32), stride=2)
        assert y.shape == (n, oc, 2 * (h - 1) + k, 2 + k) and (c > 0 or (y == 3).all())
        assert F.conv_transpose2d_backward_data(y, weight, (h, 2), stride=2).shape == x.shape
        dw = F.conv_transpose2d_backward_weight(x, y, k, stride=2)
        assert dw.shape == weight.shape and (n > 0 or not dw.any())


EMPTY_BATCH = {
    "max_pool2d": (2,), "avg_pool2d": (2,), "lp_pool2d": (2, 2), "adaptive_avg_pool2d": (1,),
    "adaptive_max_pool2d": (1,), "im2col": (2,), "instance_norm": (), "group_norm": (1,), "layer_norm": (4,),
    "local_response_norm": (3,), "batch_norm_forward": (), "relu": (), "softmax": (), "log_softmax": (),
    "dropout": (), "pad": ((1, 1),),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY_BATCH)
def test_an_empty_batch_gives_an_empty_output(name):
    y = getattr(F, name)(np.ones((0, 2, 4, 4), np.float32), *EMPTY_BATCH[name])
    y = y[0] if isinstance(y, tuple) else y
    assert y.shape[0] == 0 and y.shape[1] > 0 and y.dtype == np.float32


def test_batch_norm_backward_of_an_empty_batch():
    x, channels = np.ones((0, 2, 4, 4), np.float32), np.ones(2, np.float32)
    dx, dweight, dbias = F.batch_norm_backward(x, x, channels, channels, channels)
    assert dx.shape == x.shape and not dweight.any() and not dbias.any()


# No array of as many elements fits an address space of 47 bits.
HUGE = (2**48, 2**59, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64, -1, -(2**63))


@pytest.mark.parametrize("seed", range(4))
def test_huge_values_are_refused_at_once(seed):
    """Random calls with small and huge sizes, strides, paddings: an answer or a refusal, and no refusal takes long."""
    draw = random.Random(seed)

    def size(share, rank):
        return tuple(draw.choice((1, 2, 3) if draw.random() > share else HUGE) for _ in range(rank))

    refusals = []
    for _ in range(500):
        rank = draw.choice((1, 2, 3))
        x, w = np.ones((1, 2, *(4,) * rank), np.float32), np.ones((2, 2, *(2,) * rank), np.float32)
        cols, indices = np.ones((1, 2 * 2**rank, 3**rank), np.float32), np.zeros(x.shape, np.int64)
        a, s, d = size(0.3, rank), size(0.3, rank), size(0.1, rank)
        p = draw.choice((size(0.2, rank), tuple(size(0.2, 2) for _ in range(rank)), "same", "full", "valid"))
        ceil = draw.random() < 0.5
        for name, arguments in (
            ("conv#d", (x, w, None, s, p, d)),
            ("conv#d_backward_data", (x, w, a, s, p, d)),
            ("conv#d_backward_weight", (x, x, a, s, p, d)),
            ("conv_transpose#d", (x, w, None, s, size(0.2, rank), size(0.1, rank), 1, d)),
            ("max_pool#d", (x, a, s, p, d, ceil, True)),
            ("avg_pool#d", (x, a, s, p, ceil, True, None, d)),
            ("avg_pool#d_backward", (x, a, s, d, p)),
            ("lp_pool#d", (x, 2, a, s, ceil, p, d)),
            ("max_pool#d_backward", (x, indices, a)),
            ("max_unpool#d", (x, indices, a)),
            ("adaptive_avg_pool#d", (x, a)),
            ("adaptive_max_pool#d", (x, a, True)),
            ("im2col", (x, a, s, p, d)),
            ("col2im", (cols, a, (2,) * rank, s, p, d)),
            ("pad", (x, size(0.3, 2 * rank))),
        ):
            begin = time.perf_counter()
            try:
                of_rank(name, rank)(*arguments)
            except REFUSALS:
                refusals.append(time.perf_counter() - begin)
    assert len(refusals) > 2000
    assert np.median(refusals) < 1e-3
