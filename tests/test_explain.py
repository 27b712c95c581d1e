"""Explanations: the published values, in every form, and from every place a user asks."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cconv
import cconv.functional as F
from cconv import explain, models, nn
from cconv.cli import main

X = np.arange(9.0).reshape(3, 3)
K = np.arange(4.0).reshape(2, 2)


@pytest.mark.row("1.01", "1.02")
def test_kinds_of_convolution():
    page = explain.convolution_or_correlation(X, K)
    assert_array_equal(page.correlation, [[19, 25], [37, 43]])
    assert_array_equal(page.convolution, [[5, 11], [23, 29]])
    assert page.narrow.shape == (2, 2) and page.wide.shape == (4, 4)
    assert_array_equal(page.same, [[19, 25, 10], [37, 43, 16], [7, 8, 0]])


@pytest.mark.row("1.03")
def test_wide_convolution_commutes():
    page = explain.commutativity(X, K)
    assert_array_equal(page.left, [[0, 0, 1, 2], [0, 5, 11, 11], [6, 23, 29, 23], [12, 32, 37, 24]])
    assert_array_equal(page.right, page.left)
    assert_array_equal(page.correlation_right, [[0, 8, 7, 6], [16, 43, 37, 21], [10, 25, 19, 9], [4, 8, 3, 0]])
    assert_array_equal(page.correlation_left, page.correlation_right[::-1, ::-1])
    rng = np.random.default_rng(0)
    for shape, kernel in (((5, 7), (3, 2)), ((4,), (9,)), ((3, 4, 5), (2, 2, 2))):
        page = explain.commutativity(rng.integers(-9, 9, shape), rng.integers(-9, 9, kernel))
        assert_array_equal(page.left, page.right)


@pytest.mark.row("1.04", "1.05")
def test_affine_matrix():
    matrix = explain.affine_matrix(K, (3, 3))
    expected = [
        [0, 1, 0, 2, 3, 0, 0, 0, 0],
        [0, 0, 1, 0, 2, 3, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 2, 3, 0],
        [0, 0, 0, 0, 0, 1, 0, 2, 3],
    ]
    assert_array_equal(matrix, expected)
    assert_array_equal(matrix @ X.ravel(), [19, 25, 37, 43])
    assert_array_equal((matrix.T @ np.ones(4)).reshape(3, 3), [[0, 1, 1], [2, 6, 4], [2, 5, 3]])
    assert list(explain.affine_symbols((2, 2), (3, 3))[0]) == "w1 w2 0 w3 w4 0 0 0 0".split()
    toeplitz = explain.affine_matrix([1, 2, 3], 5)
    assert_array_equal(toeplitz, [[1, 2, 3, 0, 0], [0, 1, 2, 3, 0], [0, 0, 1, 2, 3]])
    assert_array_equal(toeplitz.T @ [1, 2, 3], [1, 4, 10, 12, 9])
    wide = F.conv1d(np.array([[[1.0, 2, 3]]]), np.array([[[3.0, 2, 1]]]), padding="full")
    assert_array_equal(wide[0, 0], [1, 4, 10, 12, 9])


@pytest.mark.parametrize(
    "shape, size, options",
    [
        ((2, 3, 2), 9, {"stride": 2, "padding": 1}), ((4, 2, 3, 2), (5, 6), {"dilation": (1, 2), "groups": 2}),
        ((2, 1, 2, 2, 2), (3, 4, 3), {"padding": "full"}), ((1, 2, 3, 3), (4, 4), {"padding": ((0, 2), (1, 0))}),
    ],
)  # fmt: skip
@pytest.mark.row("1.05")
def test_backward_is_the_transpose_for_every_geometry(shape, size, options):
    rng = np.random.default_rng(1)
    weight = rng.integers(-5, 6, shape).astype(np.float64)
    sizes = (size,) if isinstance(size, int) else size
    x = rng.integers(-5, 6, (shape[1] * options.get("groups", 1), *sizes))
    first = explain.transpose(weight, x, **options)
    page = explain.transpose(weight, x, rng.integers(-5, 6, first.y.shape), **options)
    assert_array_equal(page.matrix @ x.ravel(), page.y.ravel())
    assert_array_equal(page.dx_by_matrix, page.dx)
    assert float((page.y * page.dy).sum()) == float((x * page.dx).sum())


@pytest.mark.row("1.06", "1.09", "1.10", "1.11", "1.23")
def test_sizes_and_paddings():
    for arguments, shape in (
        (((8, 8), 3, 1, 1), (8, 8)), (((8, 8), (5, 3), 1, (2, 1)), (8, 8)), (((8, 8), 3, 2, 1), (4, 4)),
        (((8, 8), (3, 5), (3, 4), (0, 1)), (2, 2)), (((227, 227), 11, 4), (55, 55)), ((5, 3), (3,)),
    ):  # fmt: skip
        assert explain.output_shape(*arguments).shape == shape
    assert explain.depth_to(224, 5, 4).layers == 55
    for k, totals in ((3, (2, 4, 6)), (5, (4, 8, 12)), (7, (6, 12, 18))):
        assert [explain.same_padding(k, d).total for d in (1, 2, 3)] == list(totals)
    assert explain.same_padding(2, 3).same == (1, 2) and explain.same_padding(2, 3).same_lower == (2, 1)
    for k, d in ((2, 1), (4, 3), (3, 2)):
        for name in ("same", "same_lower"):
            assert explain.output_shape(
                20, k, padding=(getattr(explain.same_padding(k, d), name),), dilation=d
            ).shape == (20,)


@pytest.mark.row("1.07", "1.08")
def test_two_ways_to_enlarge():
    stuffed = explain.fractional_stride(K, 2)
    assert_array_equal(stuffed, [[0, 0, 1], [0, 0, 0], [2, 0, 3]])
    page = explain.transposed(K, K, 2)
    assert_array_equal(page.transposed, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]])
    assert_array_equal(page.fractional, page.transposed)
    assert_array_equal(explain.transposed(K, K, 1).transposed, [[0, 0, 1], [0, 4, 6], [4, 12, 9]])


@pytest.mark.row("2.02", "2.03", "2.05")
def test_im2col():
    page = explain.im2col(X, 2, K[None, None])
    assert_array_equal(page.columns[0], [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]])
    assert_array_equal(page.back[0, 0], [[0, 2, 2], [6, 16, 10], [6, 14, 8]])
    assert_array_equal(page.product[0], [[19, 25, 37, 43]])
    page = explain.im2col(np.zeros((1, 3, 227, 227), np.float32), 11, np.zeros((96, 3, 11, 11)), stride=4)
    assert page.columns.shape == (1, 363, 3025) and page.rows.shape == (96, 363) and page.product.shape == (1, 96, 3025)
    assert page.bytes == 4_392_300 and round(page.duplication, 4) == 7.1033


@pytest.mark.row("2.07")
def test_winograd():
    page = explain.winograd(2, 3)
    assert_array_equal(page.BT, [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    assert_array_equal(page.G, [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    assert_array_equal(page.AT, [[1, 1, 1, 0], [0, 1, -1, -1]])
    assert_array_equal(page.y, [[258, 294], [402, 438]])
    assert (page.multiplications, page.direct, page.saving) == (16, 36, 2.25)
    assert (page.multiplications_1d, page.direct_1d) == (4, 6)
    page = explain.winograd(4, 3)
    assert_array_equal(page.BT[0], [4, 0, -5, 0, 1, 0])
    assert_array_equal(page.AT[3], [0, 1, -1, 8, -8, 1])
    np.testing.assert_allclose(page.G[3], [1 / 24, 1 / 12, 1 / 6])
    np.testing.assert_allclose(
        page.y, [[366, 402, 438, 474], [582, 618, 654, 690], [798, 834, 870, 906], [1014, 1050, 1086, 1122]], rtol=1e-12
    )
    assert (page.multiplications, page.direct, page.saving) == (36, 144, 4)


@pytest.mark.parametrize("m, r", [(1, 3), (2, 2), (3, 3), (2, 5), (4, 5), (6, 3), (4, 1)])
def test_winograd_of_any_size_is_convolution(m, r):
    rng = np.random.default_rng(2)
    page = explain.winograd(m, r, rng.integers(-5, 6, (m + r - 1,) * 2), rng.integers(-5, 6, (r, r)))
    np.testing.assert_allclose(page.y, page.y_direct, atol=1e-9)


@pytest.mark.row("5.01", "5.02", "5.05", "1.15")
def test_complexity():
    one = explain.complexity((256, 100, 100), nn.Conv2d(256, 256, 3, padding=1))
    assert (one.macs, one.weights, one.parameters, one.maps) == (5_898_240_000, 589_824, 590_080, 2_560_000)
    assert one.weights_and_maps == 3_149_824
    two = explain.complexity((256, 100, 100), [nn.Conv2d(256, 64, 1), nn.Conv2d(64, 256, 3, padding=1)])
    assert [layer["macs"] for layer in two.layers] == [163_840_000, 1_474_560_000] and two.macs == 1_638_400_000
    assert (two.weights, two.parameters, two.maps, two.weights_and_maps) == (163_840, 164_160, 3_200_000, 3_363_840)
    assert one.macs / two.macs == 3.6 and two.maps / one.maps == 1.25
    costs = next(iter(one.algorithms.values()))
    assert costs["sliding window"] == (one.macs, 0) and costs["im2col"] == (one.macs, 4 * 9 * 256 * 10_000)
    assert costs["Winograd F(4x4, 3x3)"][0] * 4 == one.macs and costs["Winograd F(2x2, 3x3)"][0] * 2.25 == one.macs
    assert explain.complexity((100, 64, 64), nn.Conv2d(100, 100, 5, padding=2)).macs == 1_024_000_000


@pytest.mark.row("3.01", "3.02", "3.03", "3.04", "3.12")
def test_backward_of_a_convolution_by_hand():
    rng = np.random.default_rng(3)
    layer = nn.Conv2d(3, 2, 2, rng=0, dtype=np.float64)
    x, dy = rng.integers(-5, 6, (2, 3, 4, 4)), rng.integers(-5, 6, (2, 2, 3, 3))
    layer.weight.data = rng.integers(-5, 6, layer.weight.shape)
    page = explain.backward(layer, x, dy)
    turned = layer.weight.data[:, :, ::-1, ::-1]
    assert_array_equal(page.dx, F.conv2d(dy.astype(float), turned.transpose(1, 0, 2, 3).copy(), padding="full"))
    assert_array_equal(page.dbias, dy.sum(axis=(0, 2, 3)))
    for o in range(2):
        for i in range(3):
            pairs = zip(x, dy, strict=True)
            expected = sum(F.conv2d(a[i][None, None].astype(float), b[o][None, None].astype(float)) for a, b in pairs)
            assert_array_equal(page.dweight[o, i], expected[0, 0])
    for index in ((0, 0, 0), (1, 2, 3), (2, 1, 1)):
        assert page.dx[0][index] == sum(weight * dy[0][place] for place, weight in page.paths(index))
    assert not layer.weight.grad.any()
    small = nn.Conv2d(1, 1, 2, bias=False, dtype=np.float64)
    small.weight.data = K[None, None]
    page = explain.backward(small, X[None, None])
    assert page.paths((0, 1, 1)) == [((0, 0, 0), 3.0), ((0, 0, 1), 2.0), ((0, 1, 0), 1.0)]
    assert_array_equal(page.dx[0, 0], [[0, 1, 1], [2, 6, 4], [2, 5, 3]])


@pytest.mark.row("3.05", "3.06", "3.08", "7.02")
def test_backward_of_pools_and_norms_by_hand():
    x = np.array([[9.0, 0, 0, 1], [0, 1, 0, 9], [0, 9, 1, 0], [1, 0, 9, 0]])[None, None]
    dy = np.array([[2.0, 8], [4, 6]])[None, None]
    assert_array_equal(
        explain.backward(nn.MaxPool2d(2), x, dy).dx[0, 0], [[2, 0, 0, 0], [0, 0, 0, 8], [0, 4, 0, 0], [0, 0, 6, 0]]
    )
    assert_array_equal(
        explain.backward(nn.AvgPool2d(2), x, dy).dx[0, 0], np.repeat(np.repeat([[0.5, 2], [1, 1.5]], 2, 0), 2, 1)
    )
    rng = np.random.default_rng(4)
    layer = nn.BatchNorm2d(3)
    layer.astype(np.float64)
    page = explain.backward(layer, rng.standard_normal((4, 3, 2, 2)), rng.standard_normal((4, 3, 2, 2)))
    np.testing.assert_allclose(page.dx, page.dx_by_hand, atol=1e-12)
    assert not layer.running_mean.data.any()


@pytest.mark.row("3.09")
def test_residual_block_with_zero_weights_passes_the_gradient_bit_for_bit():
    branch = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    for parameter in branch.parameters():
        parameter.data[...] = 0
    rng = np.random.default_rng(5)
    x, dy = rng.standard_normal((2, 2, 2, 5, 5)).astype(np.float32)
    page = explain.residual(branch, x, dy)
    assert_array_equal(page.dx, dy)
    assert_array_equal(page.y, x)


@pytest.mark.row("7.10")
def test_gradient_flow_changes_nothing():
    rng = np.random.default_rng(6)
    model = cconv.Model(models.resnet20(rng=0))
    before = {key: value.copy() for key, value in model.net.state_dict().items()}
    page = explain.gradient_flow(model, rng.standard_normal((4, 3, 32, 32)), rng.integers(0, 10, 4))
    assert len(page.names) == len(page.sizes) == 20 and min(page.sizes) > 0
    for key, value in model.net.state_dict().items():
        assert_array_equal(value, before[key])


@pytest.mark.row("7.10")
def test_first_layers_learn_slowly_without_shortcuts():
    rng = np.random.default_rng(7)
    layers = [layer for n in range(8) for layer in (nn.Conv2d(4, 4, 3, padding=1, rng=n), nn.Sigmoid())]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10, rng=8))
    x = rng.standard_normal((8, 4, 6, 6)).astype(np.float32)
    sizes = explain.gradient_flow(cconv.Model(net), x, rng.integers(0, 10, 8)).sizes
    assert 100 * sizes[0] < sizes[3] < sizes[-2] < sizes[-1]


@pytest.mark.row("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11")
def test_eleven_steps_end_where_fit_does():
    (x, y), _ = cconv.data.digits()
    x, y = x[:24].astype(np.float64), y[:24]
    by_hand, net = models.lenet5(rng=0).astype(np.float64), models.lenet5(rng=0).astype(np.float64)
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.1))
    loader = cconv.data.DataLoader(x, y, 8, rng=3)
    for _ in range(2):
        for x_batch, y_batch in loader:
            page = explain.train_step(by_hand, x_batch, y_batch, lr=0.1)
    model.fit(x, y, 8, 2, rng=3, verbose=0)
    for key, value in model.net.state_dict().items():
        np.testing.assert_allclose(by_hand.state_dict()[key], value, atol=1e-12)
    assert page.loss == pytest.approx(np.mean(page.losses))


PAGES = [
    explain.commutativity(X, K), explain.affine_matrix(K, (3, 3)), explain.winograd(4, 3), explain.output_shape(5, 3),
    explain.complexity((3, 8, 8), nn.Conv2d(3, 4, 3)), explain.im2col(X, 2), explain.same_padding(3),
    explain.backward(nn.Linear(3, 2, rng=0), X), explain.transposed(K, K), explain.depth_to(20, 3, 4),
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: getattr(page, "title", "array"))
def test_every_form_has_the_numbers(page):
    text, markdown, latex = page.text(), page.markdown(), page.latex()
    assert "|---|" in markdown or "$$" in markdown
    assert latex.startswith(r"\section*{") and latex.count(r"\begin") == latex.count(r"\end")
    assert latex.count(r"\[") == latex.count(r"\]") and markdown.count("$$") % 2 == 0
    assert len(text.splitlines()) > 3 and "\\" not in text
    with pytest.raises(AttributeError, match="nothing"):
        page.nothing  # noqa: B018


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: explain.affine_matrix(K, (100, 100)), "input_size"), (lambda: explain.affine_matrix(K, (1, 1)), "kernel"),
        (lambda: explain.winograd(12, 12), "at most"), (lambda: explain.winograd(2, 3, np.zeros((3, 3))), "d must"),
        (lambda: explain.fractional_stride(K, 0), "stride"), (lambda: explain.commutativity("a", K), "x must"),
        (lambda: explain.backward(nn.ReLU(), X[None], X), "dy"), (lambda: explain.backward(3, X), "layer"),
        (lambda: explain.residual(nn.Conv2d(1, 2, 1), X[None, None]), "branch"),
        (lambda: explain.train_step(nn.BatchNorm1d(3), X, [0, 1, 2]), "net"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, word):
    with pytest.raises((ValueError, TypeError), match=word):
        call()


@pytest.mark.parametrize(
    "words, expected",
    [
        ("shape --input 227x227 --kernel 11x11 --stride 4", "55"), ("kinds", "wide"), ("commutativity", "23  29  23"),
        ("affine --input 3x3 --kernel 2x2", "w1  w2   0  w3  w4"), ("transpose", "2  6  4"),
        ("im2col --input 227x227x3 --kernel 11 --stride 4", "7.10 times"), ("winograd --tile 4 --kernel 3", "1/24"),
        ("complexity 100x100x256 --conv 1x1:64 --conv 3x3:256", "1,638,400,000"), ("transposed --input 2x2", "4  6  6  9"),
        ("same --kernel 5 --dilation 3", "12 in total"), ("affine --x=1,2,3,4,5 --w=-1,0,1", "w1  w2  w3"), ("depth --input 224 --kernel 5 --target 4", "55 layers"),
        ("backward", "output     weight  dy  product"), ("backward --stride 2 --padding same --dilation 2", "rot180(w)"),
        ("pool", "indices = [  5   7 ]"), ("pool --average --kernel 1x2 --stride 2", "shares each gradient equally"), ("pool --x 1,2,3,4 --dy 5,6", "dx = [ 0  5  0  6 ]"),
        ("norm", "0.176347  -0.204124"), ("norm --x=1,2;3,4", "dx by hand"), ("residual", "through the shortcut"), ("step --samples 2", "1. Initialised: 61,706 weights"),
        ("affine --input 3x3 --w=1,-1", "the matrix is 6 x 9"), ("affine --w=1,-1", "the matrix is 2 x 3"), ("affine --kernel 3", "the matrix is 1 x 9"),
        ("affine --format latex", r"w_{1} & w_{2} & 0"), ("commutativity --format markdown", r"$$ w \otimes x = "), ("kinds --format latex", r"\text{equal width} = "),
        ("im2col --x=3,1,4 --w=1,2", "product = [ 5  9 ]"), ("im2col --input 2x2x2 --w=1,-1;1,-1", "product = [ -4 ]"), ("winograd --w=1,0,1;0,1,0;1,1,1 --tile 3", "F(3x3, 3x3)"),
        ("winograd --x=1,2,3;4,5,6;7,8,9 --w=1,1;1,1", "direct = [ 12  16 ]"), ("same --kernel 3", "1 before and 1 after. A row"), ("same --kernel 2", "the two sides cannot be equal"),
        ("transpose --stride 2", "are the one output"),
        ("affine --input 5 --kernel 3", "w1  w2  w3   0   0"), ("shape --format latex --padding same", r"\section*"), ("", "TOPIC"),
    ],
)  # fmt: skip
def test_command_line(capsys, words, expected):
    assert main(["explain", *words.split()]) == 0
    assert expected in capsys.readouterr().out.replace("\n", " ")


def test_numbers_of_your_own(capsys):
    arguments = ["explain", "transpose", "--x", "3 1 4; 1 5 9; 2 6 5", "--w", "1 0; 0 -1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "[ 3  1  4 ]" in printed and "[ -2  -8 ]" in printed
    assert main([*arguments, "--dy", "1 0; 0 2"]) == 0
    printed = capsys.readouterr().out
    assert "y[0,0] = 1*3 + (-1)*5 = -2" in printed and "dx[1,1] = (-1)*1 + 1*2 = 1" in printed
    assert main([*arguments, "--dy", "1 2 3"]) == 1
    assert "dy must have the shape of the output, 2 x 2, got shape (1, 3)" in capsys.readouterr().err
    assert main(["explain", "transpose", "--x", "0 1 1; 0 1 1", "--w", "1 -1", "--dy", "1 2; 3 4"]) == 0
    assert "y = [ -1   0 ]" in capsys.readouterr().out
    for wrong in ("1 2; 3", "", "a", "1 nan"):
        with pytest.raises(SystemExit):
            main(["explain", "kinds", "--x", wrong])
        assert "rows of equally many finite numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "affine --input 900x900",
        "complexity 3 --conv 1:2",
        "complexity 9x9 --conv 3x3:4",
        "affine --input 3x3x3 --kernel 2x2",
        "depth --input 4 --target 9",
        "pool --x=1,2,3 --kernel 5",
        "winograd --x=1,2;3,4 --kernel 3",
        "winograd --w=1,0,1",
        "im2col --x=1,2 --kernel 3",
        "winograd --tile 40",
        "pool --input 2x2x2",
        "backward --dy 1",
    ],
)
def test_command_line_errors(capsys, words):
    assert main(["explain", *words.split()]) == 1
    said = capsys.readouterr().err
    assert said.startswith("cconv: error: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    "words", ["explain nosuch", "explain kinds --x", "explain complexity 9x9x3 --conv 3x3:0", "train --epochs 0"]
)
def test_wrong_usage_is_told_in_one_line(capsys, words):
    with pytest.raises(SystemExit):
        main(words.split())
    said = capsys.readouterr().err
    assert ": error: " in said and said.endswith("--help` tells more)\n") and said.count("\n") == 1
