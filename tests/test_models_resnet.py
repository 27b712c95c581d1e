"""ResNet: published sizes, torchvision's keys, shortcuts, training."""

import numpy as np
import pytest
from counting import check_counts, check_description, check_seed, check_training, shapes_of

from cconv import models, nn

IMAGE, SMALL = (3, 224, 224), (3, 32, 32)
# Name, arguments, input, parameters, multiply-adds, (convolutions, linear, batch norm channels).
ROWS = [
    ("resnet18", {}, IMAGE, 11_689_512, 1_814_073_344, (20, 1, 4_800)),
    ("resnet18", {"num_classes": 10}, IMAGE, 11_181_642, 1_813_566_464, (20, 1, 4_800)),
    ("resnet18", {"variant": "d2l"}, (1, 96, 96), 11_178_378, 318_657_536, (20, 1, 3_904)),
    ("resnet34", {}, IMAGE, 21_797_672, 3_663_761_408, (36, 1, 8_512)),
    ("resnet50", {}, IMAGE, 25_557_032, 4_089_184_256, (53, 1, 26_560)),
    ("resnet101", {}, IMAGE, 44_549_160, 7_801_405_440, (104, 1, 52_672)),
    ("resnet152", {}, IMAGE, 60_192_808, 11_513_626_624, (155, 1, 75_712)),
]
# Depth -> parameters, multiply-adds, convolutions and batch norm channels with shortcut A; parameters and
# multiply-adds with shortcut B.
CIFAR = {
    20: (269_722, 40_551_040, 19, 688, 272_474, 40_813_184),
    32: (464_154, 68_862_592, 31, 1_136, 466_906, 69_124_736),
    44: (658_586, 97_174_144, 43, 1_584, 661_338, 97_436_288),
    56: (853_018, 125_485_696, 55, 2_032, 855_770, 125_747_840),
    110: (1_727_962, 252_887_680, 109, 4_048, 1_730_714, 253_149_824),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join([row[0], *map(str, row[1].values())]))
@pytest.mark.row("6.16", "6.17")
def test_counts(row, no_draws):
    check_counts(*row)


@pytest.mark.parametrize("shortcut", ["A", "B", "plain"])
@pytest.mark.parametrize("depth", CIFAR)
@pytest.mark.row("6.17", "6.18")
def test_counts_cifar(depth, shortcut, no_draws):
    params, macs, convs, channels, params_b, macs_b = CIFAR[depth]
    if shortcut == "B":
        params, macs, convs, channels = params_b, macs_b, convs + 2, channels + 96
    name = f"resnet{depth}"
    table = check_counts(name, {"shortcut": shortcut}, SMALL, params, macs, (convs, 1, channels))
    last = [f"layer{stage}.{(depth - 2) // 6 - 1}.relu" for stage in (1, 2, 3)]
    assert shapes_of(table, last) == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_shapes(no_draws):
    table = check_counts(*ROWS[0])
    names = ("conv1", "maxpool", *(f"layer{stage}.1.relu" for stage in (1, 2, 3, 4)), "avgpool", "fc")
    assert shapes_of(table, names) == [
        (64, 112, 112), (64, 56, 56), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7), (512, 1, 1), (1000,),
    ]  # fmt: skip


def test_cifar10_keeps_the_resolution(no_draws):
    net = models.resnet18(variant="cifar10")
    assert net.conv1.output_shape((1, *SMALL)) == net.layer1.output_shape((1, 64, 32, 32)) == (1, 64, 32, 32)
    assert net.output_shape((1, *SMALL)) == (1, 10)
    assert sum(p.size for p in net.parameters()) == 11_173_962


def norm(name):
    return [f"{name}.{key}" for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


def test_keys_are_torchvisions(no_draws):
    keys = list(models.resnet18().state_dict())
    assert len(keys) == len(set(keys)) == 122
    assert keys[:6] == ["conv1.weight", *norm("bn1")]
    block = [
        "layer2.0.conv1.weight", *norm("layer2.0.bn1"), "layer2.0.conv2.weight", *norm("layer2.0.bn2"),
        "layer2.0.downsample.0.weight", *norm("layer2.0.downsample.1"),
    ]  # fmt: skip
    assert [key for key in keys if key.startswith("layer2.0.")] == block
    assert not [key for key in keys if key.startswith("layer1.0.downsample")]
    assert keys[-2:] == ["fc.weight", "fc.bias"]
    state = models.resnet50().state_dict()
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1) and "layer4.2.bn3.running_var" in state
    assert len(state) == 320


@pytest.mark.row("6.15")
def test_a_block_whose_branch_is_zero_is_its_shortcut():
    block = models.resnet20(rng=0).layer2[0]
    block["_sum"]["_body"].bn2.weight.data = np.zeros(32)
    x = np.random.default_rng(0).random((2, 16, 6, 5)).astype(np.float32)
    y = block(x)
    np.testing.assert_array_equal(y[:, :16], x[:, :, ::2, ::2])
    np.testing.assert_array_equal(y[:, 16:], 0)


@pytest.mark.row("3.09")
def test_gradient_passes_a_silent_branch_bit_for_bit():
    block = models.resnet20(rng=0).layer1[1]["_sum"]
    block["_body"].bn2.weight.data = np.zeros(16)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 16, 6, 5)).astype(np.float32)
    y, backward = block.forward(x, True)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(backward(dy), dy)


def test_weights_begin_as_in_torchvision():
    net = models.resnet18(variant="cifar10", rng=0)
    deviation = np.sqrt(2 / (128 * 9))
    assert abs(net.layer2[1]["_sum"]["_body"].conv2.weight.data.std() / deviation - 1) < 0.02
    assert np.abs(net.fc.weight.data).max() <= 1 / np.sqrt(512)


@pytest.mark.parametrize("shortcut", ["A", "B", "plain"])
def test_trains(shortcut):
    check_training(models.resnet20(shortcut=shortcut, rng=0), (3, 16, 16), 10, 0.02)


@pytest.mark.parametrize("variant", ["torchvision", "d2l"])
def test_bottlenecks_train(variant):
    net = models.resnet50(variant=variant, num_classes=5, in_channels=2, rng=0)
    # Statistics of 4 samples on 2x2 positions make the first gradient steep (norm 1,400).
    check_training(net, (2, 48, 48), 5, 2e-7)


def test_seed():
    check_seed("resnet20", {"shortcut": "B"})


def test_description():
    check_description(models.resnet20(shortcut="A", rng=0))


def test_refused_arguments():
    with pytest.raises(ValueError, match="variant must be one of torchvision, d2l, cifar10"):
        models.resnet18(variant="keras")
    with pytest.raises(ValueError, match="variant must be one of torchvision, d2l, got"):
        models.resnet34(variant="cifar10")
    with pytest.raises(ValueError, match="shortcut must be one of A, B, plain"):
        models.resnet20(shortcut="C")
    with pytest.raises(ValueError, match="num_classes"):
        models.resnet20(num_classes=0)
    with pytest.raises(ValueError, match="in_channels"):
        models.resnet18(in_channels=0)
    with pytest.raises(ValueError, match="out_channels"):
        nn.PadShortcut(4, 3)
    with pytest.raises(ValueError, match="PadShortcut"):
        nn.PadShortcut(4, 8, 2)(np.zeros((1, 3, 4, 4), np.float32))


@pytest.mark.parametrize("make", [models.resnet18, models.resnet50, models.resnet20])
def test_zero_init_residual(make):
    """torchvision's argument: the last normalisation of each block begins at 0, and nothing else."""
    last = "bn3.weight" if make is models.resnet50 else "bn2.weight"
    usual, zeroed = make(rng=0).state_dict(), make(zero_init_residual=True, rng=0).state_dict()
    blocks = [name for name in usual if name.endswith(last)]
    assert len(blocks) == {models.resnet18: 8, models.resnet50: 16, models.resnet20: 9}[make]
    for name, array in usual.items():
        assert not zeroed[name].any() if name in blocks else (zeroed[name] == array).all(), name
