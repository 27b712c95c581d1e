"""GoogLeNet: published sizes, torchvision's keys, auxiliary heads, training."""

import numpy as np
import pytest
from counting import check_counts, check_description, check_seed, check_training, shapes_of

from cconv import models, nn
from cconv.summary import summary

IMAGE = (3, 224, 224)
HEADS = 8_372_224
# Name, arguments, input, parameters, multiply-adds, (convolutions, linear, batch norm channels).
ROWS = {
    "torchvision": ("googlenet", {}, IMAGE, 6_624_904, 1_498_376_192, (57, 1, 7_280)),
    "torchvision-aux": (
        "googlenet", {"aux_logits": True}, IMAGE, 13_004_888, 1_498_376_192 + HEADS, (59, 5, 7_536),
    ),
    "paper": ("googlenet", {"variant": "paper"}, IMAGE, 6_998_552, 1_582_671_872, (57, 1, 0)),
    "paper-aux": (
        "googlenet", {"variant": "paper", "aux_logits": True}, IMAGE, 13_378_280, 1_582_671_872 + HEADS, (59, 5, 0),
    ),
    "d2l": ("googlenet", {"variant": "d2l"}, (1, 96, 96), 5_977_530, 276_066_304, (57, 1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.row("6.13", "6.14")
def test_counts(name, no_draws):
    check_counts(*ROWS[name])


@pytest.mark.parametrize("variant", ["torchvision", "paper"])
def test_shapes(variant, no_draws):
    table = check_counts(*ROWS[variant])
    names = ("maxpool1", "maxpool2", "inception3b", "inception4e", "inception5b")
    assert shapes_of(table, names) == [(64, 56, 56), (192, 28, 28), (480, 28, 28), (832, 14, 14), (1024, 7, 7)]


def test_shapes_d2l(no_draws):
    table = check_counts(*ROWS["d2l"])
    names = ("maxpool1", "maxpool2", "maxpool3", "maxpool4", "flatten")
    assert shapes_of(table, names) == [(64, 24, 24), (192, 12, 12), (480, 6, 6), (832, 3, 3), (1024,)]


@pytest.mark.row("6.12")
def test_first_block_of_the_paper(no_draws):
    block = models.googlenet(variant="paper").inception3a
    assert isinstance(block, nn.Concat)
    assert sum(p.size for name, p in block.named_parameters() if name.endswith("weight")) == 163_328
    assert block.macs((1, 192, 28, 28)) == 128_049_152


def norm(name):
    return [f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def test_keys_are_torchvisions(no_draws):
    net = models.googlenet(aux_logits=True)
    state = net.state_dict()
    keys = list(state)
    convs = ["branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"]
    expected = []
    for conv in convs:
        expected += [f"inception3a.{conv}.conv.weight", *norm(f"inception3a.{conv}.bn")]
    assert [key for key in keys if key.startswith("inception3a.")] == expected
    assert keys[:6] == ["conv1.conv.weight", *norm("conv1.bn")]
    assert [key for key in keys if key.startswith("aux1.")] == [
        "aux1.conv.conv.weight", *norm("aux1.conv.bn"),
        "aux1.fc1.weight", "aux1.fc1.bias", "aux1.fc2.weight", "aux1.fc2.bias",
    ]  # fmt: skip
    assert keys[-2:] == ["fc.weight", "fc.bias"]
    assert state["inception3a.branch3.1.conv.weight"].shape == (32, 16, 3, 3)
    assert all(layer.eps == 1e-3 for _, layer in net.named_layers() if isinstance(layer, nn.BatchNorm2d))


def test_the_paper_has_5x5(no_draws):
    state = models.googlenet(variant="paper").state_dict()
    assert state["inception3a.branch3.1.conv.weight"].shape == (32, 16, 5, 5)
    assert "inception3a.branch3.1.conv.bias" in state


def test_heads_are_beside_the_network():
    net = models.googlenet(num_classes=5, aux_logits=True, rng=0)
    plain = models.googlenet(num_classes=5)
    state = net.state_dict()
    plain.load_state_dict({key: value for key, value in state.items() if not key.startswith("aux")})
    x = np.random.default_rng(0).standard_normal((2, 3, 40, 40)).astype(np.float32)
    np.testing.assert_array_equal(net(x), plain(x))
    head = net.aux1.head()
    assert head.output_shape((2, 512, 14, 14)) == (2, 5) and net.aux1.output_shape((2, 512, 3, 3)) == (2, 512, 3, 3)
    assert head(np.ones((2, 512, 5, 5), np.float32)).shape == (2, 5)
    y, backward = net.aux2.forward(x, True)
    assert y is x and backward(x) is x
    assert len([row for row in summary(net, (3, 64, 64)) if row.name.startswith("aux1.fc")]) == 2


@pytest.mark.parametrize("variant", ["torchvision", "paper"])
def test_trains(variant):
    net = models.googlenet(num_classes=10, variant=variant, rng=0)
    net.dropout.p = 0
    check_training(net, (3, 64, 64), 10, 0.001)


def test_seed():
    check_seed("googlenet", {"variant": "d2l"})


def test_description(no_draws):
    check_description(models.googlenet(aux_logits=True))


def test_refused_arguments():
    with pytest.raises(ValueError, match="variant must be one of torchvision, paper, d2l"):
        models.googlenet(variant="v3")
    with pytest.raises(ValueError, match="aux_logits"):
        models.googlenet(variant="d2l", aux_logits=True)
    with pytest.raises(ValueError, match="in_channels"):
        models.googlenet(in_channels=0)
