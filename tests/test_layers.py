"""Every layer of cconv.nn against the gradient harness and the layer contract."""

import numpy as np
import pytest
from contract import check_layer
from gradients import check_gradients, separated

from cconv import nn
from cconv.models import lenet5
from cconv.nn.describe import layer_types

TABLE = [[0, 2], [1], [0, 1, 2]]
CODES = [[1, -1, 1, 1, -1], [-1, -1, 1, -1, 1], [1, 1, 1, -1, -1]]


def body():
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())


# Class -> (constructor, shape of x), each a configuration of its own.
CASES = {
    "Sequential": [
        (lambda: nn.Sequential(), (2, 3, 4, 4)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ScaledTanh(), nn.Linear(5, 2)), (3, 3, 2, 2)),
    ],
    "Sum": [
        (lambda: nn.Sum(body(), nn.Sequential()), (2, 3, 4, 5)),
        (lambda: nn.Sum(nn.Sequential(), nn.Sequential(), body()), (2, 3, 4, 5)),
        (lambda: nn.Sum(nn.Sequential()), (2, 3)),
    ],
    "Concat": [
        (lambda: nn.Concat(body(), nn.Sequential(), nn.Conv2d(3, 2, 1)), (2, 3, 4, 5)),
        (lambda: nn.Concat(nn.Linear(4, 2), nn.Linear(4, 3)), (2, 4)),
    ],
    "Auxiliary": [(lambda: nn.Auxiliary(), (2, 3, 4, 4))],
    "Recompute": [(lambda: nn.Recompute(nn.Conv2d(3, 4, 3, rng=0), nn.BatchNorm2d(4), nn.ReLU()), (2, 3, 5, 5))],
    "PadShortcut": [
        (lambda: nn.PadShortcut(3, 5, 2), (2, 3, 5, 4)),
        (lambda: nn.PadShortcut(3, 3, 1), (2, 3, 4, 4)),
        (lambda: nn.PadShortcut(2, 4, 3), (2, 2, 4, 7)),
    ],
    "Normalize": [
        (lambda: nn.Normalize((0.5, 0.1, -0.2), (0.3, 1.5, 2.0)), (2, 3, 4, 5)),
        (lambda: nn.Normalize(0.5, 0.3), (2, 3)),
    ],
    "LocalResponseNorm": [
        (lambda: nn.LocalResponseNorm(3, 1.5, 2.0, 1.0), (2, 5, 3, 4)),
        (lambda: nn.LocalResponseNorm(4, 0.5), (2, 6)),
        (lambda: nn.LocalResponseNorm(9, 0.5), (2, 3, 4)),
        (lambda: nn.LocalResponseNorm(1), (2, 2, 3, 3)),
    ],
    "Flatten": [(lambda: nn.Flatten(), (2, 3, 4, 5)), (lambda: nn.Flatten(2), (2, 3, 4, 5))],
    "Unflatten": [
        (lambda: nn.Unflatten(1, (2, -1)), (2, 6)),
        (lambda: nn.Unflatten(-1, (3, 2)), (2, 4, 6)),
        (lambda: nn.Unflatten(1, (3, 1, 2)), (3, 6, 5)),
    ],
    "Reshape": [(lambda: nn.Reshape(4, -1), (2, 3, 4, 5)), (lambda: nn.Reshape(3, 2, 2), (2, 12))],
    "Subsampling": [(lambda: nn.Subsampling(3), (2, 3, 4, 6)), (lambda: nn.Subsampling(2, 3), (2, 2, 7, 6))],
    "ConvTable2d": [
        (lambda: nn.ConvTable2d(3, TABLE, 3, rng=0), (2, 3, 5, 4)),
        (lambda: nn.ConvTable2d(3, TABLE, (2, 3), bias=False, rng=0), (2, 3, 4, 4)),
    ],
    "RBF": [(lambda: nn.RBF(CODES), (4, 5))],
    "ScaledTanh": [(lambda: nn.ScaledTanh(), (2, 3, 4, 5))],
    "Linear": [
        (lambda: nn.Linear(5, 3), (4, 5)),
        (lambda: nn.Linear(5, 3, bias=False), (1, 5)),
    ],
    "Conv1d": [(lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 9))],
    "Conv2d": [
        (lambda: nn.Conv2d(3, 4, 3, padding=1), (2, 3, 5, 4)),
        (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=2, dilation=(2, 1), groups=2, bias=False), (2, 4, 7, 6)),
        (lambda: nn.Conv2d(3, 3, 3, groups=3), (2, 3, 5, 5)),
        (lambda: nn.Conv2d(1, 3, 5, padding=2), (2, 1, 6, 6)),
        (lambda: nn.Conv2d(5, 4, 1), (2, 5, 3, 3)),
        (lambda: nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="reflect"), (2, 3, 5, 4)),
        (lambda: nn.Conv2d(5, 4, (2, 4), padding="same", padding_mode="replicate"), (2, 5, 3, 4)),
        (lambda: nn.Conv2d(1, 4, 5, padding=((2, 1), (0, 2)), stride=2, padding_mode="circular"), (2, 1, 6, 6)),
    ],
    "Conv3d": [
        (lambda: nn.Conv3d(2, 3, 2, padding=1, padding_mode="circular"), (2, 2, 3, 4, 3)),
        (lambda: nn.Conv3d(2, 3, 2, padding=1), (2, 2, 3, 4, 3)),
    ],
    "ConvTranspose1d": [(lambda: nn.ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1), (2, 3, 5))],
    "ConvTranspose2d": [
        (lambda: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1), (2, 3, 4, 3)),
        (lambda: nn.ConvTranspose2d(4, 4, 2, groups=2, bias=False), (2, 4, 3, 3)),
    ],
    "ConvTranspose3d": [(lambda: nn.ConvTranspose3d(2, 2, 2, stride=2), (1, 2, 2, 3, 2))],
    "MaxPool1d": [(lambda: nn.MaxPool1d(3, 2, padding=1), (2, 3, 8))],
    "MaxPool2d": [
        (lambda: nn.MaxPool2d(2), (2, 3, 4, 6)),
        (lambda: nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), (2, 3, 7, 6)),
    ],
    "MaxPool3d": [(lambda: nn.MaxPool3d(2), (2, 2, 4, 4, 5))],
    "LPPool1d": [(lambda: nn.LPPool1d(2, 3, 2), (2, 3, 8))],
    "LPPool2d": [(lambda: nn.LPPool2d(3, (2, 3), 2, ceil_mode=True), (2, 3, 5, 6))],
    "LPPool3d": [(lambda: nn.LPPool3d(1.5, 2), (2, 2, 4, 4, 5))],
    "AvgPool1d": [(lambda: nn.AvgPool1d(3, 2, padding=1), (2, 3, 8))],
    "AvgPool2d": [
        (lambda: nn.AvgPool2d(2), (2, 3, 4, 6)),
        (lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False), (2, 3, 7, 6)),
    ],
    "AvgPool3d": [(lambda: nn.AvgPool3d(2), (2, 2, 4, 4, 5))],
    "AdaptiveAvgPool1d": [(lambda: nn.AdaptiveAvgPool1d(3), (2, 3, 7))],
    "AdaptiveAvgPool2d": [
        (lambda: nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 5, 7)),
        (lambda: nn.AdaptiveAvgPool2d(1), (2, 3, 5, 4)),
    ],
    "AdaptiveAvgPool3d": [(lambda: nn.AdaptiveAvgPool3d(2), (2, 2, 3, 4, 3))],
    "AdaptiveMaxPool1d": [(lambda: nn.AdaptiveMaxPool1d(3), (2, 3, 7))],
    "AdaptiveMaxPool2d": [(lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 3, 5, 7))],
    "AdaptiveMaxPool3d": [(lambda: nn.AdaptiveMaxPool3d(2), (2, 2, 3, 4, 3))],
    "BatchNorm1d": [(lambda: nn.BatchNorm1d(4), (6, 4)), (lambda: nn.BatchNorm1d(4), (3, 4, 5))],
    "BatchNorm2d": [
        (lambda: nn.BatchNorm2d(3), (3, 3, 4, 5)),
        (lambda: nn.BatchNorm2d(3, affine=False), (3, 3, 4, 5)),
    ],
    "BatchNorm3d": [(lambda: nn.BatchNorm3d(2), (2, 2, 3, 4, 3))],
    "LayerNorm": [
        (lambda: nn.LayerNorm(5), (2, 3, 5)),
        (lambda: nn.LayerNorm((3, 2, 5)), (3, 3, 2, 5)),
        (lambda: nn.LayerNorm((4, 5), elementwise_affine=False), (2, 3, 4, 5)),
        (lambda: nn.LayerNorm((4, 5), bias=False), (2, 3, 4, 5)),
    ],
    "GroupNorm": [
        (lambda: nn.GroupNorm(2, 6), (3, 6, 4, 3)),
        (lambda: nn.GroupNorm(1, 4, affine=False), (3, 4, 5)),
        (lambda: nn.GroupNorm(2, 6), (3, 6)),
    ],
    "InstanceNorm1d": [(lambda: nn.InstanceNorm1d(3, affine=True), (2, 3, 7))],
    "InstanceNorm2d": [
        (lambda: nn.InstanceNorm2d(3, affine=True), (3, 3, 4, 5)),
        (lambda: nn.InstanceNorm2d(3, track_running_stats=True), (3, 3, 4, 5)),
    ],
    "InstanceNorm3d": [(lambda: nn.InstanceNorm3d(2), (2, 2, 3, 4, 3))],
    "Dropout": [(lambda: nn.Dropout(0.4), (3, 4, 5))],
    "Dropout1d": [(lambda: nn.Dropout1d(0.4), (3, 4, 5))],
    "Dropout3d": [(lambda: nn.Dropout3d(0.4), (3, 4, 2, 2, 3))],
    "AlphaDropout": [(lambda: nn.AlphaDropout(0.4), (3, 4, 5))],
    "Dropout2d": [(lambda: nn.Dropout2d(0.4), (3, 4, 5, 2))],
    "Softmax": [(lambda: nn.Softmax(1), (3, 5))],
    "PReLU": [(lambda: nn.PReLU(3), (2, 3, 4, 5)), (lambda: nn.PReLU(), (2, 3))],
    "Threshold": [(lambda: nn.Threshold(0.1, 2.0), (2, 3, 4, 5))],
    "LogSoftmax": [(lambda: nn.LogSoftmax(1), (3, 5))],
}
ACTIVATIONS = (
    "ReLU", "Sigmoid", "Tanh", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Softplus", "Identity", "ReLU6",
    "Hardtanh", "Hardsigmoid", "Hardswish", "Mish", "Softsign", "CELU", "LogSigmoid",
)  # fmt: skip
SPATIAL = {1: (2, 3, 5), 2: (2, 3, 4, 5), 3: (2, 2, 4, 3, 4)}
PADS = ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
CASES |= {
    f"{name}{rank}d": [
        (lambda name=name, rank=rank: getattr(nn, f"{name}{rank}d")(1), SPATIAL[rank]),
        (lambda name=name, rank=rank: getattr(nn, f"{name}{rank}d")((2, -1, 1, 0, 0, 2)[: 2 * rank]), SPATIAL[rank]),
    ]
    for name in PADS
    for rank in SPATIAL
}
CASES |= {
    f"ConstantPad{rank}d": [(lambda rank=rank: getattr(nn, f"ConstantPad{rank}d")(1, -0.5), SPATIAL[rank])]
    for rank in SPATIAL
}
CASES |= {name: [(lambda name=name: getattr(nn, name)(), (2, 3, 4, 5))] for name in ACTIVATIONS}


class Unpool(nn.Layer):
    """An unpooling layer with its indices, the same for each sample."""

    def __init__(self, layer, shape, rng):
        self.layer = layer
        places = int(np.prod(layer.output_shape(shape)[2:]))
        indices = [rng.permutation(places)[: np.prod(shape[2:])] for _ in range(shape[1])]
        self.indices = np.array(indices).reshape(1, *shape[1:])

    def forward(self, x, train):
        return self.layer.forward(x, train, np.broadcast_to(self.indices, (len(x), *self.indices.shape[1:])))

    def output_shape(self, input_shape):
        return self.layer.output_shape(input_shape)


UNPOOLS = {
    "MaxUnpool1d": (lambda: nn.MaxUnpool1d(3, 2), (2, 3, 4)),
    "MaxUnpool2d": (lambda: nn.MaxUnpool2d(2), (2, 3, 2, 3)),
    "MaxUnpool3d": (lambda: nn.MaxUnpool3d(2), (2, 2, 2, 1, 2)),
}

CONFIGURATIONS = [
    pytest.param(make, shape, id=f"{name}-{i}")
    for name, cases in CASES.items()
    if hasattr(nn, name)
    for i, (make, shape) in enumerate(cases)
]


def test_every_layer_has_a_case():
    assert set(layer_types()) - {"Layer"} <= set(CASES | UNPOOLS)


@pytest.mark.parametrize(("make", "shape"), CONFIGURATIONS)
@pytest.mark.parametrize("train", [True, False])
def test_gradients(make, shape, train):
    check_gradients(make(), separated(shape, np.random.default_rng(1)), train)


@pytest.mark.parametrize(("make", "shape"), CONFIGURATIONS)
def test_contract(make, shape):
    check_layer(make, shape)


def test_inplace_is_accepted_and_ignored():
    x = separated((2, 3, 4), np.random.default_rng(0))
    kept = x.copy()
    for name in (
        "ReLU",
        "ReLU6",
        "LeakyReLU",
        "ELU",
        "SELU",
        "CELU",
        "SiLU",
        "Mish",
        "Hardtanh",
        "Hardswish",
        "Dropout",
    ):
        layer = getattr(nn, name)(inplace=True)
        layer.forward(x, True)
        np.testing.assert_array_equal(x, kept, name)
        with pytest.raises(TypeError, match="inplace"):
            getattr(nn, name)(inplace=1)
    with pytest.raises(TypeError, match="inplace"):
        nn.Dropout(0.5, 3)


@pytest.mark.parametrize("name", UNPOOLS)
def test_unpooling(name):
    make, shape = UNPOOLS[name]
    check_gradients(Unpool(make(), shape, np.random.default_rng(0)), separated(shape, np.random.default_rng(1)))
    check_layer(lambda: Unpool(make(), shape, np.random.default_rng(0)), shape, describable=False)


@pytest.mark.parametrize("variant", ["modern", "1998", "d2l"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_lenet_gradients(variant, batch_norm):
    if variant == "1998" and batch_norm:
        with pytest.raises(ValueError, match="batch_norm"):
            lenet5(variant=variant, batch_norm=True)
        return
    net = lenet5(variant=variant, batch_norm=batch_norm, rng=0)
    x = np.random.default_rng(2).standard_normal((3, 1, 28, 28))
    check_gradients(net, x, limit=12)


@pytest.mark.parametrize("variant", ["modern", "1998", "d2l"])
def test_lenet_contract(variant):
    check_layer(lambda: lenet5(variant=variant, rng=0), (2, 1, 28, 28))


class Wrong(nn.Layer):
    """y = 2 x with a backward that is off in one element."""

    def forward(self, x, train):
        def backward(dy, need_dx=True):
            dx = 2 * dy
            dx[1, 2] += 1e-4
            return dx

        return 2 * x, backward


def test_harness_names_the_worst_element():
    with pytest.raises(AssertionError, match=r"worst element: dx\[1, 2\] is"):
        check_gradients(Wrong(), np.ones((2, 3)))


class Overwrites(nn.Layer):
    """A scale whose backward overwrites the gradient instead of adding."""

    def __init__(self):
        self.weight = nn.Parameter(np.ones(3))

    def forward(self, x, train):
        def backward(dy, need_dx=True):
            self.weight.grad = (dy * x).sum(0)
            return dy * self.weight.data

        return x * self.weight.data, backward


def test_harness_sees_overwritten_gradients():
    with pytest.raises(AssertionError, match="weight.grad"):
        check_gradients(Overwrites(), np.ones((2, 3)))
