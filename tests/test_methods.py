"""Methods of rows.md with their exact values, through the names a user types; explain's are in test_explain.py."""

import numpy as np
import pytest
import rows
from gradients import numeric_gradient
from numpy.testing import assert_allclose, assert_array_equal

import cconv.functional as F
from cconv import models, nn

X, K = np.arange(9.0).reshape(1, 1, 3, 3), np.arange(4.0).reshape(1, 1, 2, 2)
ALGORITHMS = ("reference", "im2col", "direct", "auto")


def test_marks_name_rows():
    assert set(rows.places()) <= set(rows.methods())
    assert len(rows.methods()) == 111


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.row("1.01", "1.02", "1.09", "1.10", "1.18")
def test_two_dimensional(algo, dtype):
    x, k = X.astype(dtype), K.astype(dtype)

    def conv(weight=k, **options):
        return F.conv2d(x, weight, algo=algo, **options)[0, 0]

    assert_array_equal(conv(), [[19, 25], [37, 43]])
    assert_array_equal(conv(k[..., ::-1, ::-1]), [[5, 11], [23, 29]])
    assert_array_equal(conv(padding=1), [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]])
    assert_array_equal(conv(padding=1, stride=(3, 2)), [[0, 8], [6, 8]])
    assert_array_equal(conv(padding="same"), [[19, 25, 10], [37, 43, 16], [7, 8, 0]])
    assert_array_equal(conv(padding="same_lower"), [[0, 3, 8], [9, 19, 25], [21, 37, 43]])
    for padding, length in (("valid", 2), ("same", 3), ("full", 4)):
        assert conv(padding=padding).shape == (length, length)


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.row("1.12", "1.13")
def test_channels(algo):
    x = np.concatenate([X, X + 1], axis=1)
    k = np.concatenate([K, K + 1], axis=1)
    assert_array_equal(F.conv2d(x, k, algo=algo)[0, 0], [[56, 72], [104, 120]])
    y = F.conv2d(x, np.concatenate([k, k + 1, k + 2]), algo=algo)[0]
    assert_array_equal(y, [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]])


@pytest.mark.row("1.14", "2.09")
def test_pointwise_is_a_matrix_product():
    rng = np.random.default_rng(0)
    x, w = (
        rng.standard_normal((2, 30, 9, 11)).astype(np.float32),
        rng.standard_normal((20, 30, 1, 1)).astype(np.float32),
    )
    expected = np.einsum("oc,nchw->nohw", w[..., 0, 0].astype(float), x.astype(float))
    for algo in ("auto", "pointwise"):
        assert_allclose(F.conv2d(x, w, algo=algo), expected, rtol=1e-5, atol=1e-5)
    shapes = (2, 30, 9, 11), (20, 30, 1, 1)
    assert F.conv_algorithms(*shapes, channels_last=True)[0] == "pointwise"
    a, b = rng.standard_normal((64, 50)), rng.standard_normal((40, 50))
    assert_allclose(F.linear(a, b), a @ b.T, rtol=1e-13, atol=1e-13)
    assert_allclose(F.linear(a.astype(np.float32), b.astype(np.float32)), a @ b.T, rtol=1e-4, atol=1e-5)


@pytest.mark.row("1.16")
def test_edges_are_detected_and_the_detector_learnt():
    x = np.ones((6, 8))
    x[:, 2:6] = 0
    edge = np.array([[1.0, -1.0]])
    y = F.conv2d(x[None, None], edge[None, None])
    assert_array_equal(y[0, 0], np.tile([0, 1, 0, 0, 0, -1, 0], (6, 1)))
    assert not F.conv2d(x.T[None, None].copy(), edge[None, None]).any()
    layer = nn.Conv2d(1, 1, (1, 2), bias=False, dtype=np.float64)
    layer.weight.data[...] = 0
    losses = {2: 4.915200, 4: 0.824634, 6: 0.138351, 8: 0.023211, 10: 0.003894}
    for step in range(1, 11):
        out, backward = layer.forward(x[None, None], True)
        loss = float(((out - y) ** 2).sum())
        if step in losses:
            assert loss == pytest.approx(losses[step], abs=1e-6)
        layer.zero_grad()
        backward(2 * (out - y))
        layer.weight.data[...] -= 0.03 * layer.weight.grad
    assert_allclose(layer.weight.data.ravel(), [0.98847078, -0.98847078], atol=1e-8)


@pytest.mark.row("1.17")
def test_one_dimensional():
    assert_array_equal(F.conv1d(np.arange(1.0, 6)[None, None], np.array([[[1.0, 2, 3]]])), [[[14, 20, 26]]])


@pytest.mark.row("1.19")
def test_three_dimensional_kernels_of_depth_one_go_frame_by_frame():
    rng = np.random.default_rng(1)
    x = rng.integers(-5, 6, (2, 3, 4, 6, 7)).astype(np.float32)
    w = rng.integers(-5, 6, (5, 3, 1, 3, 3)).astype(np.float32)
    y = F.conv3d(x, w, padding=(0, 1, 1))
    for frame in range(4):
        assert_array_equal(y[:, :, frame], F.conv2d(x[:, :, frame], w[:, :, 0], padding=1, algo="direct"))


@pytest.mark.parametrize("algo", ["reference", "im2col", "direct", "auto", "depthwise"])
@pytest.mark.row("1.20")
def test_depthwise_is_each_channel_alone(algo):
    x, w = np.arange(18.0).reshape(1, 2, 3, 3), np.arange(8.0).reshape(2, 1, 2, 2)
    y = F.conv2d(x, w, groups=2, algo=algo)
    assert_array_equal(y[0], [[[19, 25], [37, 43]], [[249, 271], [315, 337]]])
    for c in range(2):
        assert_array_equal(y[:, c : c + 1], F.conv2d(x[:, c : c + 1], w[c : c + 1]))


@pytest.mark.row("1.21")
def test_stacked_small_kernels_see_as_far_as_large_ones():
    for layers, kernel in ((2, 5), (3, 7)):
        net = nn.Sequential(*[nn.Conv2d(1, 1, 3, bias=False, dtype=np.float64) for _ in range(layers)])
        for parameter in net.parameters():
            parameter.data[...] = 1
        x = np.zeros((1, 1, 15, 15))
        x[0, 0, 7, 7] = 1
        reached = net(x)[0, 0] != 0
        assert reached.sum() == kernel * kernel


@pytest.mark.row("1.22")
def test_memory_layouts_agree():
    rng = np.random.default_rng(2)
    x, w = rng.integers(-5, 6, (2, 6, 7, 3)).astype(np.float32), rng.integers(-5, 6, (4, 3, 3, 3)).astype(np.float32)
    last = F.conv2d(x.transpose(0, 3, 1, 2), w, algo="direct")
    first = F.conv2d(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), w, algo="direct")
    assert_array_equal(first, last)
    assert last.transpose(0, 2, 3, 1).flags.c_contiguous and first.flags.c_contiguous


@pytest.mark.row("2.01", "2.07", "2.08")
def test_algorithms_agree_within_their_bounds():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 64, 17, 15)), rng.standard_normal((32, 64, 3, 3))
    expected = F.conv2d(x, w, padding=1, algo="reference")
    for algo in ("im2col", "direct"):
        assert_allclose(F.conv2d(x, w, padding=1, algo=algo), expected, rtol=1e-10, atol=1e-10)
    size = np.linalg.norm(expected)
    errors = {}
    for algo in ("im2col", "direct", "winograd"):
        y = F.conv2d(x.astype(np.float32), w.astype(np.float32), padding=1, algo=algo)
        errors[algo] = np.linalg.norm(y - expected) / size
    assert errors["direct"] < 1e-6 and errors["im2col"] < 1e-6 and errors["winograd"] < 2e-5
    assert errors["winograd"] > errors["direct"]
    for options in ({"stride": 2}, {"groups": 64}):
        shape = (64, 1, 3, 3) if "groups" in options else (32, 64, 3, 3)
        assert "winograd" not in F.conv_algorithms((2, 64, 17, 15), shape, padding=1, channels_last=True, **options)


@pytest.mark.row("2.04")
def test_im2col_serves_pooling():
    x = np.random.default_rng(4).standard_normal((2, 3, 8, 10))
    columns = F.im2col(x.reshape(6, 1, 8, 10), 2, stride=2)
    assert_array_equal(columns.max(axis=1).reshape(2, 3, 4, 5), F.max_pool2d(x, 2))


@pytest.mark.row("2.05")
def test_col2im_is_the_adjoint():
    rng = np.random.default_rng(5)
    x = rng.integers(-9, 9, (2, 3, 7, 6)).astype(float)
    columns = F.im2col(x, (3, 2), 2, 1)
    z = rng.integers(-9, 9, columns.shape).astype(float)
    assert (columns * z).sum() == (x * F.col2im(z, (7, 6), (3, 2), 2, 1)).sum()


@pytest.mark.row("2.10")
def test_the_algorithm_is_chosen_for_each_layer():
    x = np.random.default_rng(6).standard_normal((1, 8, 9, 9)).astype(np.float32)
    for algo in ("reference", "im2col", "direct", "winograd"):
        layer = nn.Conv2d(8, 8, 3, algo=algo, rng=0)
        assert_allclose(layer(x), nn.Conv2d(8, 8, 3, rng=0)(x), atol=1e-5)
    with pytest.raises(ValueError, match="algo"):
        nn.Conv2d(8, 8, 3, stride=2, algo="winograd")(x)


@pytest.mark.row("3.02", "3.03", "3.04", "3.07")
def test_gradients_by_central_differences():
    rng = np.random.default_rng(7)
    x, w, dy = rng.standard_normal((2, 3, 5, 6)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal((2, 4, 3, 4))
    options = {"stride": (2, 2), "padding": (1, 1)}
    dx = F.conv2d_backward_data(dy, w, (5, 6), **options)
    dw = F.conv2d_backward_weight(x, dy, (3, 2), **options)
    assert_allclose(dx, numeric_gradient(lambda a: (F.conv2d(a, w, **options) * dy).sum(), x), rtol=1e-6, atol=1e-7)
    assert_allclose(dw, numeric_gradient(lambda a: (F.conv2d(x, a, **options) * dy).sum(), w), rtol=1e-6, atol=1e-7)
    a, v, d = rng.standard_normal((5, 4)), rng.standard_normal((3, 4)), rng.standard_normal((5, 3))
    da, dv, db = F.linear_backward(d, a, v)
    assert_allclose(da, numeric_gradient(lambda t: (F.linear(t, v) * d).sum(), a), rtol=1e-7, atol=1e-8)
    assert_allclose(dv, numeric_gradient(lambda t: (F.linear(a, t) * d).sum(), v), rtol=1e-7, atol=1e-8)
    assert_allclose(db, d.sum(axis=0))


@pytest.mark.row("3.11")
def test_cross_entropy_of_equal_logits():
    assert F.cross_entropy(np.zeros((1, 10)), np.array([3])) == pytest.approx(2.302585093, abs=1e-9)
    assert F.cross_entropy(np.zeros((1, 1000)), np.array([3])) == pytest.approx(6.907755279, abs=1e-9)
    assert_allclose(F.softmax(np.array([[1.0, 2, 3]])), [[0.09003057, 0.24472847, 0.66524096]], atol=1e-8)
    _, backward = nn.CrossEntropyLoss().forward(np.array([[1.0, 2, 3], [1, 2, 3]]), np.array([2, 0]))
    expected = [[0.04501529, 0.12236424, -0.16737952], [-0.45498471, 0.12236424, 0.33262048]]
    assert_allclose(backward(), expected, atol=1e-8)


@pytest.mark.row("4.01", "4.02", "4.04")
def test_pooling():
    a = np.arange(16.0).reshape(1, 1, 4, 4)
    assert_array_equal(F.max_pool2d(X, 2, 1)[0, 0], [[4, 5], [7, 8]])
    assert_array_equal(F.avg_pool2d(X, 2, 1)[0, 0], [[2, 3], [5, 6]])
    assert_array_equal(F.max_pool2d(a, 3)[0, 0], [[10]])
    assert_array_equal(F.max_pool2d(a, 3, 2, 1)[0, 0], [[5, 7], [13, 15]])
    assert_array_equal(F.max_pool2d(a, (2, 3), (2, 3), (0, 1))[0, 0], [[5, 7], [13, 15]])
    two = np.concatenate([a, a + 1], axis=1)
    assert_array_equal(F.max_pool2d(two, 3, 2, 1)[0], [[[5, 7], [13, 15]], [[6, 8], [14, 16]]])


@pytest.mark.row("4.03", "4.06")
def test_pooling_tolerates_a_shift_by_one():
    x = np.zeros((1, 1, 6, 8))
    x[..., 2::4] = 1
    shifted = np.roll(x, 1, axis=3)
    assert not (x * shifted).any()
    assert_array_equal(F.max_pool2d(x, 2), F.max_pool2d(shifted, 2))


@pytest.mark.row("4.05")
def test_global_average_pooling():
    x = np.random.default_rng(8).standard_normal((2, 5, 4, 7))
    assert_allclose(nn.AdaptiveAvgPool2d(1)(x)[..., 0, 0], x.mean(axis=(2, 3)), rtol=1e-12)


@pytest.mark.row("4.07")
def test_trainable_subsampling():
    layer = nn.Subsampling(2).astype(np.float64)
    assert sum(parameter.size for parameter in layer.parameters()) == 4
    for name, parameter in layer.named_parameters():
        parameter.data[...] = 0.5 if "bias" in name else 2.0
    x = np.random.default_rng(9).standard_normal((1, 2, 4, 4))
    sums = 4 * F.avg_pool2d(x, 2)
    assert_allclose(layer(x), 2.0 * sums + 0.5, rtol=1e-12)


@pytest.mark.row("5.03")
def test_first_dense_layers():
    for net, weights in (
        (models.lenet5(rng=0), 48_000), (models.alexnet(variant="d2l", rng=0), 26_214_400), (models.vgg16(rng=0), 102_760_448),
    ):  # fmt: skip
        dense = next(layer for _, layer in net.named_layers() if isinstance(layer, nn.Linear))
        assert dense.weight.size == weights


@pytest.mark.row("5.04", "6.12")
def test_inception_against_one_convolution():
    from cconv import explain

    paths = [
        [nn.Conv2d(192, 64, 1, bias=False)], [nn.Conv2d(192, 96, 1, bias=False), nn.Conv2d(96, 128, 3, padding=1, bias=False)],
        [nn.Conv2d(192, 16, 1, bias=False), nn.Conv2d(16, 32, 5, padding=2, bias=False)], [nn.Conv2d(192, 32, 1, bias=False)],
    ]  # fmt: skip
    pages = [explain.complexity((192, 28, 28), path) for path in paths]
    assert (sum(p.weights for p in pages), sum(p.macs for p in pages)) == (163_328, 128_049_152)
    for k, weights, macs in ((3, 442_368, 346_816_512), (5, 1_228_800, 963_379_200)):
        page = explain.complexity((192, 28, 28), nn.Conv2d(192, 256, k, padding=k // 2, bias=False))
        assert (page.weights, page.macs) == (weights, macs)


BN = np.arange(3)[None, :, None] * 4.0 + np.arange(4) + 1 + np.arange(4)[:, None, None]


@pytest.mark.row("7.01", "7.02", "7.04")
def test_batch_norm_forward_and_both_conventions():
    y, mean, rstd = F.batch_norm_forward(BN, np.ones(3), np.zeros(3))
    assert_allclose(mean, [4, 8, 12])
    assert_allclose(rstd, 1 / np.sqrt(2.5 + 1e-5))
    assert_allclose(y[0, 0], [-1.8973628, -1.26490853, -0.63245427, 0], atol=1e-7)
    layer = nn.BatchNorm1d(3).astype(np.float64)
    layer.forward(BN, True)
    assert_allclose(layer.running_mean.data, [0.4, 0.8, 1.2])
    assert_allclose(layer.running_var.data, 1.16666667, atol=1e-8)
    rng = np.random.default_rng(10)
    y, _, _ = F.batch_norm_forward(rng.standard_normal((200, 3)), np.array([1.0, 2, 3]), np.array([11.0, 12, 13]))
    assert_allclose(y.mean(axis=0), [11, 12, 13], atol=1e-5)
    assert_allclose(y.std(axis=0), [1, 2, 3], rtol=1e-5)


@pytest.mark.row("3.08", "7.03")
def test_batch_norm_gradient():
    rng = np.random.default_rng(11)
    x, dy, gamma = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 5)), rng.standard_normal(3)
    _, mean, rstd = F.batch_norm_forward(x, gamma, np.zeros(3))
    dx, dgamma, dbeta = F.batch_norm_backward(dy, x, mean, rstd, gamma)
    expected = numeric_gradient(lambda a: (F.batch_norm_forward(a, gamma, np.zeros(3))[0] * dy).sum(), x)
    assert_allclose(dx, expected, rtol=1e-5, atol=1e-7)
    assert_allclose(dbeta, dy.sum(axis=(0, 2)))
    assert_allclose(dgamma, (dy * (x - mean[:, None]) * rstd[:, None]).sum(axis=(0, 2)), rtol=1e-10)


@pytest.mark.row("7.05")
def test_cumulative_average_equals_the_whole_set():
    x = np.random.default_rng(12).standard_normal((60, 4))
    layer = nn.BatchNorm1d(4, momentum=None).astype(np.float64)
    for batch in np.split(x, 3):
        layer.forward(batch, True)
    assert_allclose(layer.running_mean.data, x.mean(axis=0), atol=1e-6)


@pytest.mark.row("7.06")
def test_scale_and_shift_restore_the_input():
    x = np.random.default_rng(13).standard_normal((50, 4)) * 3 + 2
    y, _, _ = F.batch_norm_forward(x, np.sqrt(x.var(axis=0) + 1e-5), x.mean(axis=0))
    assert_allclose(y, x, atol=1e-6)


@pytest.mark.row("7.07")
def test_one_sample():
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="BatchNorm1d"):
        layer.forward(np.ones((1, 3), np.float32), True)
    assert_allclose(layer(np.full((1, 3), 2, np.float32)), 2 / np.sqrt(1 + 1e-5))


@pytest.mark.row("7.11")
def test_normalised_inputs():
    x = np.random.default_rng(14).standard_normal((100, 3, 5, 5)).astype(np.float32) * 4 + 7
    y = nn.Normalize(x.mean(axis=(0, 2, 3)), x.std(axis=(0, 2, 3)))(x)
    assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.row("8.01")
def test_cs231n_affine():
    x, w, b = (
        np.linspace(-0.1, 0.5, 240).reshape(2, 120),
        np.linspace(-0.2, 0.3, 360).reshape(120, 3),
        np.linspace(-0.3, 0.1, 3),
    )
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    assert_allclose(F.linear(x, w.T.copy(), b), expected, rtol=1e-8)


@pytest.mark.row("8.04", "8.05", "8.06")
def test_cs231n_kernels():
    x, w = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4), np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
    y = F.conv2d(x, w, np.linspace(-0.1, 0.2, 3), stride=2, padding=1)
    assert y.shape == (2, 3, 2, 2)
    assert_allclose(y[0, 0], [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]], atol=1e-8)
    assert_allclose(y[1, 2], [[2.36270298, 2.36904306], [2.38090835, 2.38247847]], atol=1e-8)
    y = F.max_pool2d(np.linspace(-0.3, 0.4, 96).reshape(2, 3, 4, 4), 2)
    assert_allclose(y[0, 0], [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]], atol=1e-8)
    assert_allclose(y[1, 2], [[0.32631579, 0.34105263], [0.38526316, 0.4]], atol=1e-8)
    y = F.relu(np.linspace(-0.5, 0.5, 12).reshape(3, 4))
    assert_allclose(y[1:], [[0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]], atol=1e-8)


@pytest.mark.row("9.01")
def test_flatten_order():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert_array_equal(nn.Flatten()(x)[0], np.arange(24))
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    assert_array_equal(nn.Flatten()(last)[0], np.arange(24))


@pytest.mark.row("9.04")
def test_local_response_norm():
    x = np.array([-1.0, 3, 2, 5]).reshape(1, 4, 1, 1)
    y = F.local_response_norm(x, 3, alpha=1.5, beta=2, k=1)
    assert_allclose(y.ravel(), [-0.02777778, 0.046875, 0.005, 0.02081165], atol=1e-8)
