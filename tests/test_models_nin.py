"""Network in network: published sizes, structure, training."""

import pytest
from counting import check_counts, check_description, check_seed, check_training, shapes_of

from cconv import models, nn

IMAGE = (3, 224, 224)
# Name, arguments, input, parameters, multiply-adds, (convolutions, linear, batch norm channels).
ROWS = [
    ("nin", {}, (1, 224, 224), 1_992_166, 762_297_352, (12, 0, 0)),
    ("nin", {"num_classes": 1000, "in_channels": 3}, IMAGE, 7_439_608, 965_572_864, (12, 0, 0)),
    ("nin", {"variant": "caffe"}, IMAGE, 7_595_176, 1_100_188_800, (12, 0, 0)),
    ("nin", {"variant": "cifar10"}, (3, 32, 32), 966_986, 222_486_528, (9, 0, 0)),
]


@pytest.mark.parametrize("row", ROWS, ids=["d2l", "d2l-imagenet", "caffe", "cifar10"])
@pytest.mark.row("6.11")
def test_counts(row, no_draws):
    check_counts(*row)


def test_shapes(no_draws):
    table = check_counts(*ROWS[0])
    names = ("block1.5", "pool1", "block2.5", "pool2", "block3.5", "pool3", "block4.5", "avgpool", "flatten")
    assert shapes_of(table, names) == [
        (96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 5, 5), (10, 5, 5), (10, 1, 1),
        (10,),
    ]  # fmt: skip


def test_keys(no_draws):
    keys = list(models.nin(variant="cifar10").state_dict())
    names = [f"block{block}.{layer}" for block in (1, 2, 3) for layer in (0, 2, 4)]
    assert keys == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]


@pytest.mark.row("6.11")
def test_pools_stride(no_draws):
    pools = [layer for layer in models.nin() if isinstance(layer, nn.MaxPool2d)]
    assert [(pool.kernel_size, pool.stride) for pool in pools] == [((3, 3), (2, 2))] * 3


def test_trains():
    net = models.nin(variant="cifar10", rng=0)
    net.dropout1.p = net.dropout2.p = 0
    check_training(net, (3, 32, 32), 10, 0.001)


def test_seed():
    check_seed("nin", {"variant": "cifar10"})


def test_description(no_draws):
    check_description(models.nin(variant="caffe"))


def test_refused_arguments():
    with pytest.raises(ValueError, match="variant must be one of d2l, caffe, cifar10"):
        models.nin(variant="torchvision")
    with pytest.raises(ValueError, match="num_classes"):
        models.nin(num_classes=0)
