"""Begin with the weights of another task: a LeNet-5 trained on digits 0 to 4 learns 5 to 9 from few examples.

    python examples/finetune.py [--samples N]

Weights travel as a safetensors file; with `--samples` images of the new task the network that begins with them is
compared with one that begins afresh, and with one whose convolutions stay as they are.
"""

import argparse
import tempfile
from pathlib import Path

import cconv
from cconv import models, nn
from cconv.checkpoint import load_weights


def part(data, low):
    """The five classes from `low` on, called 0 to 4."""
    x, y = data
    chosen = (y >= low) & (y < low + 5)
    return x[chosen], y[chosen] - low


def train(net, train_data, test_data, epochs):
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.02, momentum=0.9))
    model.fit(*train_data, 16, epochs, verbose=0)
    return model, model.evaluate(*test_data)["accuracy"]


def tuned(path, train_data, test_data, frozen):
    """Accuracy on a new task of a network that begins with the weights of an old one, all but those of its last layer."""
    net = load_weights(models.lenet5(num_classes=5, rng=1), path, skip="fc3")
    if frozen:
        # What does not change is computed once; the dense layers train on what it gives.
        layers = list(net)
        cut = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Flatten))
        body, net = nn.Sequential(*layers[:cut]), nn.Sequential(*layers[cut:])
        train_data, test_data = ((body(x), y) for x, y in (train_data, test_data))
    return train(net, train_data, test_data, 40)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=25)
    arguments = parser.parse_args()
    data = cconv.data.digits()
    old, new = [part(one, 0) for one in data], [part(one, 5) for one in data]
    few, test = tuple(array[: arguments.samples] for array in new[0]), new[1]
    model, accuracy = train(models.lenet5(num_classes=5, rng=0), *old, epochs=15)
    print(f"digits 0 to 4 from {len(old[0][0])} images: {100 * accuracy:.1f} %")
    afresh = train(models.lenet5(num_classes=5, rng=1), few, test, 40)[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.safetensors"
        model.save(path)
        whole, dense = (tuned(path, few, test, frozen) for frozen in (False, True))
    print(
        f"digits 5 to 9 from {arguments.samples} images: {100 * afresh:.1f} % afresh, {100 * whole:.1f} % from the old "
        f"weights, {100 * dense:.1f} % with the old convolutions kept"
    )


if __name__ == "__main__":
    main()
