"""VGG: published sizes, torchvision's keys, the recipe of the paper, training."""

import pytest
from counting import check_counts, check_description, check_seed, check_training, shapes_of

from cconv import models, nn

IMAGE, GREY = (3, 224, 224), (1, 224, 224)
# Name, arguments, input, parameters, multiply-adds, (convolutions, linear, batch norm channels).
ROWS = [
    ("vgg11", {}, IMAGE, 132_863_336, 7_609_090_048, (8, 3, 0)),
    ("vgg11", {"batch_norm": True}, IMAGE, 132_868_840, 7_609_090_048, (8, 3, 2_752)),
    ("vgg13", {}, IMAGE, 133_047_848, 11_308_466_176, (10, 3, 0)),
    ("vgg13", {"batch_norm": True}, IMAGE, 133_053_736, 11_308_466_176, (10, 3, 2_944)),
    ("vgg16", {}, IMAGE, 138_357_544, 15_470_264_320, (13, 3, 0)),
    ("vgg16", {"batch_norm": True}, IMAGE, 138_365_992, 15_470_264_320, (13, 3, 4_224)),
    ("vgg16", {"variant": "c"}, IMAGE, 133_638_952, 11_770_888_192, (13, 3, 0)),
    ("vgg19", {}, IMAGE, 143_667_240, 19_632_062_464, (16, 3, 0)),
    ("vgg19", {"batch_norm": True}, IMAGE, 143_678_248, 19_632_062_464, (16, 3, 5_504)),
    ("vgg11", {"variant": "d2l"}, GREY, 128_806_154, 7_547_232_256, (8, 3, 0)),
    ("vgg11", {"variant": "d2l", "width": 0.25}, GREY, 43_093_322, 512_155_648, (8, 3, 0)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join([row[0], *map(str, row[1].values())]))
@pytest.mark.row("6.07", "6.08", "6.10")
def test_counts_and_shapes(row, no_draws):
    table = check_counts(*row)
    pools = [r.output_shape[1:] for r in table if r.type == "MaxPool2d"]
    sides, widths = (112, 56, 28, 14, 7), (64, 128, 256, 512, 512)
    factor = row[1].get("width", 1)
    assert pools == [(int(width * factor), side, side) for side, width in zip(sides, widths, strict=True)]
    (flat,) = shapes_of(table, ["flatten"])
    assert flat == (int(25_088 * factor),)


def test_where_the_parameters_are(no_draws):
    table = check_counts(*ROWS[4])
    params = {row.name: row.params for row in table}
    assert params["classifier.0"] == 102_764_544 and round(100 * 102_764_544 / table.params, 4) == 74.2746
    assert sum(row.params for row in table if row.type == "Conv2d") == 14_714_688
    assert sum(p.data.nbytes for p in models.vgg16().parameters()) == 553_430_176


@pytest.mark.row("6.09", "9.02")
def test_recipe_of_the_paper(no_draws):
    net = models.vgg16()
    convs = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert all((c.kernel_size, c.stride, c.padding) == ((3, 3), (1, 1), 1) for c in convs)
    pools = [layer for layer in net.features if isinstance(layer, nn.MaxPool2d)]
    assert len(pools) == 5 and all((p.kernel_size, p.stride) == ((2, 2), (2, 2)) for p in pools)
    kinds = [type(layer).__name__ for _, layer in net.named_layers()]
    assert kinds.count("ReLU") == 15 and "LocalResponseNorm" not in kinds


@pytest.mark.row("9.03")
def test_keys_are_torchvisions(no_draws):
    keys = list(models.vgg16().state_dict())
    convs = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = [f"features.{i}" for i in convs] + [f"classifier.{i}" for i in (0, 3, 6)]
    assert keys == [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    keys = list(models.vgg11(batch_norm=True).state_dict())
    assert keys[:8] == [
        "features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias", "features.1.running_mean",
        "features.1.running_var", "features.1.num_batches_tracked", "features.4.weight",
    ]  # fmt: skip


def test_cifar10(no_draws):
    net = models.vgg16(variant="cifar10", batch_norm=True)
    assert net.output_shape((2, 3, 32, 32)) == (2, 10)
    linear = [layer.weight.shape for layer in net.classifier if isinstance(layer, nn.Linear)]
    assert linear == [(512, 512), (512, 512), (10, 512)]
    assert sum(p.size for p in net.parameters()) == 15_253_578


@pytest.mark.parametrize("batch_norm", [False, True])
def test_trains(batch_norm):
    net = models.vgg16(variant="cifar10", width=0.25, batch_norm=batch_norm, rng=0)
    # Without dropout: three steps should show the gradient and not the noise.
    for _, layer in net.named_layers():
        if isinstance(layer, nn.Dropout):
            layer.p = 0
    check_training(net, (3, 32, 32), 10, 0.01)


def test_seed_decides_weights():
    check_seed("vgg11", {"variant": "cifar10", "width": 0.125})


def test_description(no_draws):
    check_description(models.vgg16(variant="c", width=0.125))


def test_refused_arguments():
    with pytest.raises(ValueError, match="variant must be one of torchvision, d2l, cifar10, c"):
        models.vgg16(variant="e")
    with pytest.raises(ValueError, match="variant must be one of torchvision, d2l, cifar10, got"):
        models.vgg19(variant="c")
    for width in (0, -1, 65, float("nan")):
        with pytest.raises(ValueError, match="width"):
            models.vgg11(width=width)
    with pytest.raises(ValueError, match="num_classes"):
        models.vgg11(num_classes=0)


def test_input_shape_of_other_layers():
    assert models.input_shape(nn.Sequential()) is None
