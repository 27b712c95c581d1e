import json

import numpy as np
import pytest

from cconv import models, nn
from cconv.models.digit_codes import digit_codes
from cconv.models.lenet import C3_CONNECTIONS
from cconv.summary import summary

# What torch calls and shapes a LeNet-5 of two convolutions and three linear layers.
TORCH_LENET = {
    "conv1.weight": (6, 1, 5, 5),
    "conv1.bias": (6,),
    "conv2.weight": (16, 6, 5, 5),
    "conv2.bias": (16,),
    "fc1.weight": (120, 400),
    "fc1.bias": (120,),
    "fc2.weight": (84, 120),
    "fc2.bias": (84,),
    "fc3.weight": (10, 84),
    "fc3.bias": (10,),
}
LENETS = {
    "modern": ({}, 61_706, 416_520),
    "modern 32": ({"input_size": 32}, 61_706, 416_520),
    "modern BN": ({"batch_norm": True}, 62_158, 416_520),
    "d2l": ({"variant": "d2l"}, 44_426, 281_640),
    "d2l BN": ({"variant": "d2l", "batch_norm": True}, 44_878, 281_640),
    "1998": ({"variant": "1998"}, 60_000, None),
    "1998 32": ({"variant": "1998", "input_size": 32}, 60_000, None),
}


def shapes(net):
    return {key: value.shape for key, value in net.state_dict().items()}


@pytest.mark.parametrize("name", LENETS)
@pytest.mark.row("6.01", "6.02", "6.03")
def test_counts(name):
    arguments, parameters, macs = LENETS[name]
    net = models.lenet5(**arguments, rng=0)
    side = arguments.get("input_size", 28)
    table = summary(net, (1, side, side))
    assert table.params == sum(p.size for p in net.parameters()) == parameters
    assert macs in (None, table.macs)
    images = np.random.default_rng(0).standard_normal((2, 1, side, side)).astype(np.float32)
    assert net(images).shape == (2, 10) and np.isfinite(net(images)).all()


@pytest.mark.row("6.01")
def test_shapes_modern():
    rows = {row.name: row.output_shape[1:] for row in summary(models.lenet5(), (1, 28, 28))}
    names = ("conv1", "pool1", "conv2", "pool2", "flatten", "fc1", "fc2", "fc3")
    expected = [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)]
    assert [rows[name] for name in names] == expected


def test_shapes_d2l():
    net = models.lenet5(variant="d2l", batch_norm=True)
    rows = {row.name: row.output_shape[1:] for row in summary(net, (1, 28, 28))}
    names = ("conv1", "pool1", "conv2", "pool2", "flatten", "fc1", "fc2", "fc3")
    expected = [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (256,), (120,), (84,), (10,)]
    assert [rows[name] for name in names] == expected


@pytest.mark.parametrize("side", [28, 32])
@pytest.mark.row("6.02")
def test_1998_layer_by_layer(side):
    net = models.lenet5(variant="1998", input_size=side)
    table = summary(net, (1, side, side))
    rows = {row.name: row for row in table}
    expected = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "RBF": 0}
    assert {name: rows[name].params for name in expected} == expected
    assert rows["C3"].macs + 1600 == 151_600 and rows["RBF"].macs == 840
    assert table.connections == 340_908
    assert [key for key in net.state_dict() if key.endswith("weight")] == [
        f"{name}.weight" for name in ("C1", "S2", "C3", "S4", "C5", "F6")
    ]


def test_c3_table():
    assert len(C3_CONNECTIONS) == 16 and sum(map(len, C3_CONNECTIONS)) == 60
    assert [len(inputs) for inputs in C3_CONNECTIONS] == [3] * 6 + [4] * 9 + [6]


def test_digit_codes():
    codes = digit_codes()
    assert codes.shape == (10, 84) and set(np.unique(codes)) == {-1, 1}
    distances = np.square(codes[:, None] - codes).sum(2) + 1000 * np.eye(10)
    assert distances.min() >= 4 * 8
    with pytest.raises(ValueError, match="num_classes"):
        digit_codes(11)


def test_rbf_outputs_are_logits():
    codes = digit_codes()
    y = nn.RBF(codes)(codes)
    np.testing.assert_array_equal(y.argmax(1), np.arange(10))
    np.testing.assert_array_equal(np.diagonal(y), 0)
    np.testing.assert_array_equal(y, -np.square(codes[:, None] - codes).sum(2))


def test_subsampling_is_a_sum_plus_b():
    layer = nn.Subsampling(2)
    layer.weight.data, layer.bias.data = [2, 3], [10, 20]
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    sums = x.reshape(1, 2, 2, 2, 2, 2).sum((3, 5))
    np.testing.assert_array_equal(layer(x), sums * [[[2]], [[3]]] + [[[10]], [[20]]])


def test_conv_table_is_a_convolution_with_holes():
    table = [[0, 2], [1], [0, 1, 2]]
    layer = nn.ConvTable2d(3, table, 2, rng=0).astype(np.float64)
    whole = nn.Conv2d(3, 3, 2).astype(np.float64)
    whole.weight.data = np.zeros(whole.weight.shape)
    link = 0
    for o, inputs in enumerate(table):
        for i in inputs:
            whole.weight.data[o, i] = layer.weight.data[link]
            link += 1
    whole.bias.data = layer.bias.data
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    np.testing.assert_allclose(layer(x), whole(x), rtol=1e-12)


@pytest.mark.parametrize("table", [[], [[]], [[0, 0]], [[3]], [[-1]]])
def test_wrong_connection_tables(table):
    with pytest.raises(ValueError, match="connections"):
        nn.ConvTable2d(3, table, 2)


def test_state_dict_is_torchs():
    assert shapes(models.lenet5()) == TORCH_LENET
    norms = {
        f"bn{i}.{key}": shape
        for i, n in enumerate((6, 16, 120, 84), 1)
        for key, shape in {
            "weight": (n,), "bias": (n,), "running_mean": (n,), "running_var": (n,), "num_batches_tracked": (),
        }.items()
    }  # fmt: skip
    assert shapes(models.lenet5(batch_norm=True)) == TORCH_LENET | norms


def test_load_state_dict_lists_every_problem():
    net = models.lenet5(rng=0)
    before = net.state_dict()
    state = {key: value + 1 for key, value in before.items()}
    del state["fc2.bias"], state["conv1.bias"]
    state["fc3.weight"] = np.zeros((5, 84))
    state["conv1.weight"] = np.zeros((6, 3, 5, 5))
    state["fc4.weight"] = np.zeros(3)
    with pytest.raises(ValueError, match="state does not fit") as caught:
        net.load_state_dict(state)
    for word in ("fc2.bias", "conv1.bias", "fc3.weight: (5, 84)", "(6, 3, 5, 5)", "fc4.weight"):
        assert word in str(caught.value)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_seed_decides_the_weights():
    first, again, other = (models.lenet5(rng=seed).state_dict() for seed in (0, 0, 1))
    assert all((first[key] == again[key]).all() for key in first)
    assert all((first[key] != other[key]).any() for key in first)


def test_registry():
    assert "lenet5" in models.names() and models.names() == sorted(models.names())
    net = models.create("lenet5", variant="d2l", num_classes=7, rng=3)
    assert net.config["name"] == "lenet5" and "rng" not in net.config["arguments"]
    assert json.loads(json.dumps(net.config)) == net.config
    again = models.create(net.config["name"], **net.config["arguments"])
    assert repr(again) == repr(net) and again.config == net.config
    with pytest.raises(ValueError, match="lenet5"):
        models.create("lenet6")


@pytest.mark.parametrize("variant", ["modern", "1998", "d2l"])
def test_description_rebuilds(variant):
    net = models.lenet5(variant=variant, rng=0)
    rebuilt = nn.build(json.loads(json.dumps(nn.describe(net))))
    rebuilt.load_state_dict(net.state_dict())
    assert rebuilt.config == net.config
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(rebuilt(x), net(x))


@pytest.mark.parametrize(
    "arguments",
    [
        {"variant": "1997"},
        {"activation": "step"},
        {"input_size": 30},
        {"num_classes": 0},
        {"in_channels": 0},
        {"variant": "1998", "batch_norm": True},
        {"variant": "1998", "num_classes": 11},
    ],
)
def test_refused_arguments(arguments):
    with pytest.raises(ValueError, match=list(arguments)[-1]):
        models.lenet5(**arguments)


def test_activation_argument():
    types = [type(layer).__name__ for layer in models.lenet5(activation="tanh")]
    assert types.count("Tanh") == 4 and "ReLU" not in types


def synthetic():
    """32 striped images, one direction and frequency a class."""
    i, row, column = np.ogrid[:32, :28, :28]
    x = np.sin(0.3 * (i % 10 + 1) * (row + 0.5 * column) / 3 + i)
    return x[:, None].astype(np.float32), np.arange(32) % 10


# From the same start in torch 2.13, float64: SGD, learning rate 0.1, momentum 0.9.
GOLDEN_CURVE = [
    2.300251458, 2.2983271, 2.295230606, 2.291626143, 2.287993381, 2.284118007, 2.279317816,
    2.272761188, 2.265284843, 2.255548777, 2.241482607, 2.22053758, 2.188811468, 2.140307877,
    2.065417604, 1.953463975, 1.783584159, 1.537293522, 1.221861736, 1.211143561,
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-7)])
@pytest.mark.row("1.16")
def test_golden_curve(dtype, tolerance):
    net = models.lenet5(rng=0).astype(dtype)
    data, grad = nn.gather(net)
    velocity = np.zeros_like(data)
    x, target = synthetic()
    rows = np.arange(len(target))
    losses = []
    for _ in GOLDEN_CURVE:
        logits, backward = net.forward(x.astype(dtype), True)
        shifted = logits - logits.max(1, keepdims=True).astype(np.float64)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        losses.append(-log_p[rows, target].mean())
        dy = np.exp(log_p)
        dy[rows, target] -= 1
        grad[...] = 0
        backward((dy / len(rows)).astype(dtype), need_dx=False)
        velocity *= 0.9
        velocity += grad
        data -= velocity * dtype(0.1)
    np.testing.assert_allclose(losses, GOLDEN_CURVE, rtol=tolerance)


@pytest.mark.parametrize("variant, activation", [("modern", "ReLU"), ("d2l", "Sigmoid"), ("1998", "ScaledTanh")])
@pytest.mark.row("9.02")
def test_activations_of_their_time(variant, activation):
    kinds = [type(layer).__name__ for _, layer in models.lenet5(variant=variant, rng=0).named_layers()]
    assert {kind for kind in kinds if kind in ("ReLU", "Sigmoid", "Tanh", "ScaledTanh")} == {activation}
