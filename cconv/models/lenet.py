"""LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition")."""

import numpy as np

from cconv import nn
from cconv.functional._arguments import whole
from cconv.models.digit_codes import digit_codes
from cconv.models.registry import network
from cconv.nn import init

# Table I of the paper: the S2 maps each of the 16 C3 maps is connected to.
C3_CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5), (0, 1, 3, 4), (1, 2, 4, 5),
    (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip
_VARIANTS = ("modern", "1998", "d2l")
_ACTIVATIONS = ("relu", "sigmoid", "tanh", "scaled_tanh")


@network("input_size")
def lenet5(num_classes=10, in_channels=1, variant="modern", batch_norm=False, activation=None, input_size=28, rng=None):
    """LeNet-5 in one of three forms.

    Parameters
    ----------
    num_classes, in_channels : int
    variant : "modern", "1998" or "d2l"
        modern: ReLU and max pooling, first convolution padded to see 32x32; 61,706 parameters.
        1998: as published, layers C1 S2 C3 S4 C5 F6 RBF, partially connected C3, trainable subsampling, scaled
        tanh, negative squared distances to digit bitmaps as outputs; 60,000 parameters, at most ten classes.
        d2l: sigmoid, average pooling and no padding; 44,426 parameters.
    batch_norm : bool, batch normalisation before each activation (not for 1998)
    activation : None, "relu", "sigmoid", "tanh" or "scaled_tanh"; None takes the variant's own
    input_size : 28 or 32, height and width of the images
    rng : None, int or numpy Generator

    Returns
    -------
    nn.Sequential

    Raises
    ------
    ValueError
        Naming the argument, for anything else than the above.
    """
    whole(num_classes, "num_classes", 1)
    whole(in_channels, "in_channels", 1)
    if variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(_VARIANTS)}, got {variant!r}")
    if activation not in (None, *_ACTIVATIONS):
        raise ValueError(f"activation must be None or one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    if input_size not in (28, 32):
        raise ValueError(f"input_size must be 28 or 32, got {input_size!r}")
    rng = np.random.default_rng(rng)
    if variant == "1998":
        if batch_norm:
            raise ValueError("batch_norm: the 1998 variant has none")
        return _lenet5_1998(num_classes, in_channels, activation or "scaled_tanh", input_size, rng)
    average = variant == "d2l"
    net = _lenet5_modern(
        num_classes, in_channels, batch_norm, activation or ("sigmoid" if average else "relu"), input_size, average, rng
    )
    if average:
        for layer in net:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                init.xavier_uniform(layer.weight, rng=rng)
    return net


def _activation(name):
    return {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "scaled_tanh": nn.ScaledTanh}[name]()


def _lenet5_modern(num_classes, in_channels, batch_norm, activation, input_size, average, rng):
    pool = nn.AvgPool2d if average else nn.MaxPool2d
    padding = 2 if input_size == 28 and not average else 0
    side = ((input_size + 2 * padding - 4) // 2 - 4) // 2
    layers = {}

    def add(number, name, layer, norm):
        layers[name] = layer
        if batch_norm:
            layers[f"bn{number}"] = norm
        layers[f"act{number}"] = _activation(activation)

    add(1, "conv1", nn.Conv2d(in_channels, 6, 5, padding=padding, rng=rng), nn.BatchNorm2d(6))
    layers["pool1"] = pool(2)
    add(2, "conv2", nn.Conv2d(6, 16, 5, rng=rng), nn.BatchNorm2d(16))
    layers["pool2"] = pool(2)
    layers["flatten"] = nn.Flatten()
    add(3, "fc1", nn.Linear(16 * side * side, 120, rng=rng), nn.BatchNorm1d(120))
    add(4, "fc2", nn.Linear(120, 84, rng=rng), nn.BatchNorm1d(84))
    layers["fc3"] = nn.Linear(84, num_classes, rng=rng)
    return nn.Sequential(layers)


def _lenet5_1998(num_classes, in_channels, activation, input_size, rng):
    layers = {
        "C1": nn.Conv2d(in_channels, 6, 5, padding=2 if input_size == 28 else 0),
        "S2": nn.Subsampling(6),
        "C3": nn.ConvTable2d(6, C3_CONNECTIONS, 5),
        "S4": nn.Subsampling(16),
        "C5": nn.Conv2d(16, 120, 5),
        "F6": nn.Linear(120, 84),
    }
    for layer in layers.values():
        if not isinstance(layer, nn.Subsampling):
            _initialise_1998(layer, rng)
    steps = {}
    for name, layer in layers.items():
        if name == "F6":
            steps["flatten"] = nn.Flatten()
        steps[name] = layer
        steps[f"f{name[1]}"] = _activation(activation)
    steps["RBF"] = nn.RBF(digit_codes(num_classes))
    return nn.Sequential(steps)


def _initialise_1998(layer, rng):
    """Uniform on +-2.4 / fan_in, as in the paper's appendix A."""
    if isinstance(layer, nn.ConvTable2d):
        layer.initialise(lambda fan_in: 2.4 / fan_in, rng)
        return
    bound = 2.4 / init.fans(layer.weight.shape)[0]
    init.uniform(layer.weight, -bound, bound, rng)
    init.uniform(layer.bias, -bound, bound, rng)
