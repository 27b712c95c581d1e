"""AlexNet: published sizes, torchvision's keys, initial weights, training."""

import numpy as np
import pytest
from counting import check_counts, check_description, check_training

from cconv import models, nn

PUBLISHED, COLOUR = (3, 227, 227), (3, 224, 224)
# Name, arguments, input, parameters, multiply-adds, (convolutions, linear, batch norm channels).
ROWS = {
    "torchvision": ("alexnet", {}, COLOUR, 61_100_840, 714_188_480, (5, 3, 0)),
    "paper": ("alexnet", {"variant": "paper"}, PUBLISHED, 60_965_224, 724_406_816, (5, 3, 0)),
    "caffe": ("alexnet", {"variant": "caffe"}, PUBLISHED, 62_378_344, 1_135_256_096, (5, 3, 0)),
    "d2l": ("alexnet", {"variant": "d2l"}, (1, 224, 224), 46_764_746, 938_146_176, (5, 3, 0)),
}
# Output shapes of convolutions, pools, flattening and linear layers.
SHAPES = {
    "torchvision": [
        (64, 55, 55), (64, 27, 27), (192, 27, 27), (192, 13, 13), (384, 13, 13), (256, 13, 13), (256, 13, 13),
        (256, 6, 6), (9216,), (4096,), (4096,), (1000,),
    ],
    "paper": [
        (96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13), (256, 13, 13),
        (256, 6, 6), (9216,), (4096,), (4096,), (1000,),
    ],
    "d2l": [
        (96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 12, 12), (256, 12, 12),
        (256, 5, 5), (6400,), (4096,), (4096,), (10,),
    ],
}  # fmt: skip
SHAPES["caffe"] = SHAPES["paper"]


@pytest.mark.parametrize("variant", ROWS)
@pytest.mark.row("6.04", "6.05", "6.06")
def test_counts_and_shapes(variant, no_draws):
    table = check_counts(*ROWS[variant])
    kinds = ("Conv2d", "MaxPool2d", "Flatten", "Linear")
    assert [row.output_shape[1:] for row in table if row.type in kinds] == SHAPES[variant]


@pytest.mark.row("6.05")
def test_neurons_of_the_paper(no_draws):
    table = check_counts(*ROWS["paper"])
    assert sum(np.prod(row.output_shape) for row in table if row.type in ("Conv2d", "Linear")) == 659_272


def test_keys_are_torchvisions(no_draws):
    shapes = {key: value.shape for key, value in models.alexnet().state_dict().items()}
    weights = {
        "features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216), "classifier.4": (4096, 4096), "classifier.6": (1000, 4096),
    }  # fmt: skip
    expected = {}
    for name, shape in weights.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    assert shapes == expected and list(shapes) == list(expected)


@pytest.mark.row("9.04")
def test_response_norm_where_it_was_published(no_draws):
    norms = {
        variant: [
            layer for layer in models.alexnet(variant=variant).features if isinstance(layer, nn.LocalResponseNorm)
        ]
        for variant in ROWS
    }
    assert {variant: len(layers) for variant, layers in norms.items()} == {
        "torchvision": 0, "paper": 2, "caffe": 2, "d2l": 0,
    }  # fmt: skip
    paper = norms["paper"][0]
    assert (paper.size, paper.alpha / paper.size, paper.beta, paper.k) == (5, 1e-4, 0.75, 2)


def test_groups_of_the_paper(no_draws):
    convs = [layer for layer in models.alexnet(variant="paper").features if isinstance(layer, nn.Conv2d)]
    assert [conv.groups for conv in convs] == [1, 2, 1, 2, 2]


def test_trains():
    check_training(models.alexnet(num_classes=10, in_channels=1, rng=0), (1, 64, 64), 10, 0.01)


def test_weights_begin_as_in_the_paper():
    net = models.alexnet(num_classes=10, variant="paper", rng=0)
    convs = [layer for layer in net.features if isinstance(layer, nn.Conv2d)]
    assert [set(conv.bias.data) for conv in convs] == [{0}, {1}, {0}, {1}, {1}]
    assert all(abs(conv.weight.data.std() / 0.01 - 1) < 0.03 for conv in convs)


def test_description(no_draws):
    check_description(models.alexnet(variant="paper", num_classes=4))


def test_refused_arguments():
    with pytest.raises(ValueError, match="variant must be one of torchvision, paper, caffe, d2l"):
        models.alexnet(variant="keras")
    with pytest.raises(ValueError, match="num_classes"):
        models.alexnet(num_classes=0)
    with pytest.raises(ValueError, match="in_channels"):
        models.alexnet(in_channels=-1)
