import copy
import gc
import json
import weakref

import numpy as np
import pytest

from cconv import nn
from cconv.functional._arguments import is_channels_last
from cconv.nn.combine import run_backward


class Scale(nn.Layer):
    """y = factor * x; keeps what it was asked, and a closure that can be watched."""

    def __init__(self, factor):
        self.factor = factor
        self.weight = nn.Parameter(np.ones(1, np.float32))
        self.need_dx = []
        self.closures = []

    def forward(self, x, train):
        def backward(dy, need_dx=True):
            self.need_dx.append(need_dx)
            self.weight.grad += dy.sum()
            return self.factor * dy if need_dx else None

        self.closures.append(weakref.ref(backward))
        return self.factor * x, backward


class Plain(nn.Layer):
    """A user's layer that has never heard of need_dx."""

    def forward(self, x, train):
        return x + 1, lambda dy: dy


def channels_last(*shape):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def test_the_three_spellings_of_sequential():
    layers = [nn.Flatten(), nn.Reshape(2, 2)]
    for net in (nn.Sequential(*layers), nn.Sequential(layers), nn.Sequential({"0": layers[0], "1": layers[1]})):
        assert [name for name, _ in net.named_children()] == ["0", "1"]
        assert list(net) == layers and len(net) == 2 and net[-1] is layers[1] and net["0"] is layers[0]
        assert isinstance(net[:1], nn.Sequential) and list(net[:1]) == layers[:1]


def test_nested_names_are_torchs_keys():
    net = nn.Sequential({"features": nn.Sequential(Scale(1), nn.Flatten(), Scale(2)), "classifier": Scale(3)})
    assert list(net.state_dict()) == ["features.0.weight", "features.2.weight", "classifier.weight"]
    assert net.features[2].factor == 2


def test_append_replace_and_attribute_assignment():
    net = nn.Sequential(nn.Flatten()).append(Scale(2)).append(Scale(3), name="head")
    assert [name for name, _ in net.named_children()] == ["0", "1", "head"]
    net.head = Scale(5)
    net[0] = nn.Reshape(-1)
    assert net[2].factor == 5 and isinstance(net[0], nn.Reshape)
    with pytest.raises(ValueError, match="already"):
        net.append(Scale(1), name="head")


@pytest.mark.parametrize("name", ["forward", "a.b", "", "_layers"])
def test_names_that_would_not_work(name):
    with pytest.raises(ValueError, match="cannot name"):
        nn.Sequential({name: nn.Flatten()})


def test_wrong_members():
    with pytest.raises(TypeError, match="'1' is int"):
        nn.Sequential(nn.Flatten(), 3)
    with pytest.raises(TypeError, match="made of layers"):
        nn.Sequential(3)
    with pytest.raises(TypeError, match="must be a string"):
        nn.Sequential({1: nn.Flatten()})
    with pytest.raises(ValueError, match="at least one branch"):
        nn.Sum()
    with pytest.raises(IndexError, match="out of range"):
        nn.Sequential(nn.Flatten())[1]
    with pytest.raises(KeyError, match="no layer 'x'"):
        nn.Sequential(nn.Flatten())["x"]
    with pytest.raises(AttributeError, match="no attribute or layer"):
        nn.Sequential(nn.Flatten()).x  # noqa: B018


def test_empty_sequential_is_the_identity():
    net, x = nn.Sequential(), channels_last(2, 3, 4, 5)
    y, backward = net.forward(x, True)
    assert y is x and net(x) is x and backward(x) is x and net.output_shape(x.shape) == x.shape
    assert net.macs(x.shape) == 0 and bool(net)


def test_backward_once():
    _, backward = nn.Sequential(Scale(2), Scale(3)).forward(np.ones((1, 1), np.float32), True)
    np.testing.assert_array_equal(backward(np.ones((1, 1), np.float32)), [[6]])
    with pytest.raises(RuntimeError, match="called before"):
        backward(np.ones((1, 1), np.float32))


def test_need_dx_reaches_the_first_layer_only():
    a, b = Scale(2), Scale(3)
    _, backward = nn.Sequential(nn.Sequential(a), b).forward(np.ones((1, 1), np.float32), True)
    assert backward(np.ones((1, 1), np.float32), need_dx=False) is None
    assert (a.need_dx, b.need_dx) == ([False], [True])
    assert a.weight.grad == 3 and b.weight.grad == 1


@pytest.mark.parametrize("combinator", [nn.Sum, nn.Concat])
def test_need_dx_reaches_every_branch(combinator):
    a, b = Scale(2), Scale(3)
    y, backward = combinator(a, nn.Sequential(b, Scale(1))).forward(np.ones((1, 1), np.float32), True)
    assert backward(np.ones_like(y), need_dx=False) is None
    assert (a.need_dx, b.need_dx) == ([False], [False])


def test_layers_without_need_dx_are_called_without_it():
    for net in (nn.Sequential(Plain(), Plain()), nn.Sum(Plain(), nn.Sequential())):
        _, backward = net.forward(np.ones((1, 1), np.float32), True)
        backward(np.ones((1, 1), np.float32), need_dx=False)


def test_inference_keeps_no_closures():
    a, b = Scale(2), Scale(3)
    y = nn.Sequential(a, nn.Sum(b, nn.Sequential()))(np.ones((1, 1), np.float32))
    gc.collect()
    assert y == 8 and all(closure() is None for layer in (a, b) for closure in layer.closures)


def test_backward_releases_as_it_goes():
    a, b = Scale(2), Scale(3)
    _, backward = nn.Sequential(a, b).forward(np.ones((1, 1), np.float32), True)
    backward(np.ones((1, 1), np.float32))
    gc.collect()
    assert a.closures[0]() is None and b.closures[0]() is None


def test_sum_leaves_its_identity_branch_alone():
    x = channels_last(2, 3, 4, 5)
    kept = x.copy()
    y, backward = nn.Sum(nn.Sequential(), Scale(2), Scale(3)).forward(x, True)
    np.testing.assert_array_equal(y, 6 * x)
    dy = channels_last(2, 3, 4, 5)
    dx = backward(dy)
    np.testing.assert_array_equal(dx, 6 * dy)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(dy, kept)
    assert is_channels_last(y) and is_channels_last(dx)


def test_residual_gradient_with_a_dead_branch_is_the_output_gradient():
    x = np.float32([[1, -2, 3]])
    _, backward = nn.Sum(nn.Sequential(), Scale(0)).forward(x, True)
    np.testing.assert_array_equal(backward(x), x)


def test_concat_joins_and_splits():
    x = channels_last(2, 3, 4, 5)
    net = nn.Concat({"one": Scale(1), "two": nn.Sequential(Scale(2)), "same": nn.Sequential()})
    y, backward = net.forward(x, True)
    np.testing.assert_array_equal(y, np.concatenate([x, 2 * x, x], axis=1))
    assert is_channels_last(y) and y.shape == net.output_shape(x.shape)
    np.testing.assert_array_equal(backward(y), x + 4 * x + x)
    flat = nn.Concat(Scale(1), Scale(2), axis=2)(np.ones((1, 2, 3), np.float32))
    assert flat.shape == (1, 2, 6) and flat.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_concat_of_any_memory_order(dtype):
    """Channels-last parts are copied by all threads, others by NumPy."""
    rng = np.random.default_rng(0)
    whole = rng.integers(-9, 9, (3, 37, 41, 40)).astype(dtype)  # (N, H, W, C)
    parts = [
        np.moveaxis(whole, -1, 1)[:, 3:25], np.moveaxis(whole, -1, 1)[:, 1:2], np.moveaxis(whole, -1, 1)[:, ::2],
        np.ascontiguousarray(np.moveaxis(whole, -1, 1)), np.moveaxis(whole, -1, 1)[::-1],
        np.broadcast_to(whole[:1, :1, :1, :1], (3, 4, 37, 41)),
    ]  # fmt: skip
    net = nn.Concat(*[nn.Sequential() for _ in parts])
    np.testing.assert_array_equal(net._merge(parts), np.concatenate(parts, axis=1))


def test_shapes_that_do_not_meet():
    x = np.ones((2, 6), np.float32)
    for call in (lambda net: net(x), lambda net: net.output_shape(x.shape)):
        with pytest.raises(ValueError, match=r"Sum: branch outputs differ in shape: \(2, 6\), \(2, 3, 2\)"):
            call(nn.Sum(nn.Sequential(), nn.Reshape(3, 2)))
        with pytest.raises(ValueError, match="Concat: branch outputs"):
            call(nn.Concat(nn.Sequential(), nn.Reshape(3, 2)))
    with pytest.raises(ValueError, match="Flatten: start_dim 3"):
        nn.Flatten(3)(x)
    with pytest.raises(ValueError, match="Reshape"):
        nn.Reshape(4, 2)(x)


def test_flatten_takes_features_in_the_order_c_h_w():
    x = channels_last(2, 3, 4, 5)
    np.testing.assert_array_equal(nn.Flatten()(x), np.arange(120, dtype=np.float32).reshape(2, 60))
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5) and nn.Flatten(0)(x).shape == (120,)


def test_description_survives_json_and_shared_layers():
    shared = nn.ScaledTanh()
    net = nn.Sequential({"a": shared, "b": nn.Sum(nn.Sequential(), shared), "c": nn.Concat(nn.Flatten(), axis=1)})
    description = nn.describe(net)
    rebuilt = nn.build(json.loads(json.dumps(description)))
    assert repr(rebuilt) == repr(net) and nn.describe(rebuilt) == description
    assert rebuilt.a is rebuilt.b[1]
    net.append(nn.Flatten())
    assert repr(nn.build(nn.describe(net))) == repr(net)


def test_layers_of_others_cannot_be_described():
    with pytest.raises(TypeError, match="Scale is not a layer of cconv.nn"):
        nn.describe(nn.Sequential(Scale(2)))


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        {},
        {"type": "os"},
        {"type": ["Flatten"]},
        {"type": "Flatten", "args": 3},
        {"type": "Flatten", "kwargs": []},
        {"type": "Flatten", "args": ["x"]},
        {"type": "Flatten", "kwargs": {"nothing": 1}},
        {"type": "Sequential", "args": [{"dict": [["forward", {"type": "Flatten"}]]}]},
        {"type": "Sequential", "args": [{"dict": [3]}]},
        {"type": "Sequential", "args": [{"dict": 3}]},
        {"type": "Sequential", "args": [{"same": 0}]},
        {"type": "Sequential", "args": [{"same": 7}]},
        {"type": "Sequential", "args": [{"same": "x"}]},
    ],
)
def test_broken_descriptions(description):
    with pytest.raises(ValueError):
        nn.build(description)


def test_bottomless_description():
    description = {"type": "Flatten"}
    for _ in range(5000):
        description = {"type": "Sequential", "args": [description]}
    with pytest.raises(ValueError, match="nested deeper"):
        nn.build(description)


def test_names_with_an_underscore_stay_out_of_the_keys():
    body = nn.Sequential({"conv1": nn.Conv2d(3, 3, 3, padding=1)})
    net = nn.Sequential({"_sum": nn.Sum({"_body": body, "downsample": nn.Conv2d(3, 3, 1)}), "relu": nn.ReLU()})
    assert list(net.state_dict()) == ["conv1.weight", "conv1.bias", "downsample.weight", "downsample.bias"]
    other = copy.deepcopy(net)
    other.load_state_dict({key: value + 1 for key, value in net.state_dict().items()})
    np.testing.assert_array_equal(other["_sum"]["_body"].conv1.bias.data, body.conv1.bias.data + 1)
    clash = nn.Sequential({"_a": nn.Linear(2, 2), "_b": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="weight"):
        clash.state_dict()


@pytest.mark.parametrize("first", [nn.Conv2d(4, 4, 3, padding=1, rng=1), nn.ReLU(), Scale(2), Plain(), nn.Sequential()])
@pytest.mark.parametrize("order", ["F", "C"])
def test_gradients_join_on_the_way(first, order):
    """A backward that knows `onto` returns dx + onto, without touching onto; for others it is added."""
    rng = np.random.default_rng(0)
    x, onto = (np.asarray(rng.standard_normal((2, 4, 5, 6)), np.float32, order) for _ in range(2))
    for net in (first, nn.Sequential(first), nn.Sequential(first, nn.ReLU())):
        y, backward = net.forward(x, True)
        _, again = net.forward(x, True)
        before = onto.copy()
        expected = run_backward(backward, y, True) + onto
        np.testing.assert_allclose(run_backward(again, y, True, onto), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(onto, before)
