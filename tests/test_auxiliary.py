"""Auxiliary heads: their loss joins that of the network in training, and nowhere else."""

import numpy as np
import pytest

from cconv import Model, models, nn, optim
from cconv.nn.auxiliary import heads


def small(loss_weight=0.3):
    return nn.Sequential(
        {
            "conv1": nn.Conv2d(2, 4, 3, rng=0),
            "relu1": nn.ReLU(),
            "aux": nn.Auxiliary(
                {
                    "avgpool": nn.AdaptiveAvgPool2d(2),
                    "conv": nn.Conv2d(4, 3, 1, rng=1),
                    "relu": nn.ReLU(),
                    "flatten": nn.Flatten(),
                    "fc": nn.Linear(12, 5, rng=2),
                },
                loss_weight=loss_weight,
            ),
            "conv2": nn.Conv2d(4, 3, 3, rng=3),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(48, 5, rng=4),
        }
    )


def batch(shape=(2, 8, 8), n=6, classes=5):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, *shape)), rng.integers(0, classes, n)


def gradients(net, x, y):
    """(loss, gradient by name) of one training pass."""
    with heads() as found:
        outputs, backward = net.forward(x, True)
    loss, loss_backward = nn.CrossEntropyLoss().forward(outputs, y)
    loss = float(loss) + found.loss(nn.CrossEntropyLoss(), y)
    backward(loss_backward())
    return loss, {name: parameter.grad for name, parameter in net.named_parameters()}


def torch_gradients(torch, net, forward, x, y):
    """The same from torch functions of the weights: `forward(weights, x) -> outputs, logits of the heads`."""
    weights = {name: torch.tensor(parameter.data, requires_grad=True) for name, parameter in net.named_parameters()}
    outputs, *others = forward(weights, torch.tensor(x))
    loss = torch.nn.functional.cross_entropy
    target = torch.tensor(y)
    total = loss(outputs, target) + 0.3 * sum(loss(logits, target) for logits in others)
    total.backward()
    return total.item(), {name: weight.grad.numpy() for name, weight in weights.items()}


def test_gradients_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    T = torch.nn.functional

    def forward(w, x):
        x = T.relu(T.conv2d(x, w["conv1.weight"], w["conv1.bias"]))
        a = T.relu(T.conv2d(T.adaptive_avg_pool2d(x, 2), w["aux.conv.weight"], w["aux.conv.bias"]))
        x = T.conv2d(x, w["conv2.weight"], w["conv2.bias"])
        return (
            T.linear(x.flatten(1), w["fc.weight"], w["fc.bias"]),
            T.linear(a.flatten(1), w["aux.fc.weight"], w["aux.fc.bias"]),
        )

    net, (x, y) = small().astype(np.float64), batch()
    loss, actual = gradients(net, x, y)
    expected_loss, expected = torch_gradients(torch, net, forward, x, y)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(actual[name], gradient, atol=1e-12, err_msg=name)


def test_gradients_of_googlenet_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    T = torch.nn.functional
    net = models.googlenet(num_classes=5, aux_logits=True, rng=0).astype(np.float64)
    for _, layer in net.named_layers():
        if isinstance(layer, nn.Dropout):
            layer.p = 0

    def forward(w, x):
        def conv(name, x, stride=1):
            kernel = w[f"{name}.conv.weight"]
            x = T.conv2d(x, kernel, None, stride, kernel.shape[2] // 2)
            return T.relu(T.batch_norm(x, None, None, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"], True, eps=1e-3))

        def inception(name, x):
            name = f"inception{name}"
            return torch.cat([
                conv(f"{name}.branch1", x),
                conv(f"{name}.branch2.1", conv(f"{name}.branch2.0", x)),
                conv(f"{name}.branch3.1", conv(f"{name}.branch3.0", x)),
                conv(f"{name}.branch4.1", T.max_pool2d(x, 3, 1, 1)),
            ], 1)  # fmt: skip

        def aux(name, x):
            x = conv(f"{name}.conv", T.adaptive_avg_pool2d(x, 4)).flatten(1)
            x = T.relu(T.linear(x, w[f"{name}.fc1.weight"], w[f"{name}.fc1.bias"]))
            return T.linear(x, w[f"{name}.fc2.weight"], w[f"{name}.fc2.bias"])

        def pool(x, size=3):
            return T.max_pool2d(x, size, 2, ceil_mode=True)

        x = pool(conv("conv3", conv("conv2", pool(conv("conv1", x, 2)))))
        x = inception("4a", pool(inception("3b", inception("3a", x))))
        aux1 = aux("aux1", x)
        x = inception("4d", inception("4c", inception("4b", x)))
        aux2 = aux("aux2", x)
        x = inception("5b", inception("5a", pool(inception("4e", x), 2)))
        return T.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"]), aux1, aux2

    x, y = batch((3, 64, 64), n=3)
    loss, actual = gradients(net, x, y)
    expected_loss, expected = torch_gradients(torch, net, forward, x, y)
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(actual[name], gradient, rtol=0, atol=1e-7 * np.abs(gradient).max(), err_msg=name)


@pytest.mark.parametrize("large", [1 << 60, 0])
def test_a_model_trains_the_head(large, monkeypatch):
    monkeypatch.setattr(optim.base, "LARGE", large)
    net, (x, y) = small(), batch()
    before = net.state_dict()

    def head_loss():
        hidden = net.relu1(net.conv1(x.astype(np.float32)))
        return nn.CrossEntropyLoss()(net.aux.head()(hidden), y)

    first = head_loss()
    model = Model(net, optimizer=optim.SGD(0.2))
    losses = [model.train_on_batch(x, y)["loss"] for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    assert all((array != before[name]).any() for name, array in net.state_dict().items())
    assert head_loss() < 0.75 * first
    assert model.evaluate(x, y)["loss"] < model.train_on_batch(x, y)["loss"]


def test_outputs_do_not_depend_on_the_head():
    net, (x, _) = small(), batch()
    x = x.astype(np.float32)
    model = Model(net)
    outputs = model.predict(x)
    for parameter in net.aux.parameters():
        parameter.data[...] = 7
    np.testing.assert_array_equal(model.predict(x), outputs)
    y_alone, backward = net.forward(x, True)
    np.testing.assert_allclose(y_alone, outputs, atol=1e-6)
    backward(np.ones_like(y_alone))
    assert not net.aux.fc.weight.grad.any()


def test_weight_zero_is_a_network_without_head():
    x, y = batch()
    with_head, without = small(0.0), small()
    del without._layers["aux"]
    first, second = (Model(net, optimizer=optim.SGD(0.1)) for net in (with_head, without))
    for _ in range(3):
        assert first.train_on_batch(x, y)["loss"] == pytest.approx(second.train_on_batch(x, y)["loss"], rel=1e-6)


def test_description_keeps_the_weight():
    net = nn.build(nn.describe(small(0.25)))
    assert net.aux.loss_weight == 0.25
    with pytest.raises(ValueError, match="loss_weight"):
        nn.Auxiliary(loss_weight=float("nan"))
