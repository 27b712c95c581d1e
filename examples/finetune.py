"""Begin with the weights of another task: a LeNet-5 trained on digits 0 to 4 learns 5 to 9 from few examples.

    python examples/finetune.py [--samples N]

Weights travel as a safetensors file; with `--samples` images of the new task the network that begins with them is
compared with one that begins afresh, and with one whose convolutions stay as they are.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import cconv
from cconv import models, nn
from cconv.checkpoint import read


def part(data, low):
    """The five classes from `low` on, called 0 to 4."""
    x, y = data
    chosen = (y >= low) & (y < low + 5)
    return x[chosen], y[chosen] - low


def train(net, train_data, test_data, epochs):
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.02, momentum=0.9))
    model.fit(*train_data, 16, epochs, verbose=0)
    return model, model.evaluate(*test_data)["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=25)
    arguments = parser.parse_args()
    data = cconv.data.digits()
    old, new = [part(one, 0) for one in data], [part(one, 5) for one in data]
    few = tuple(array[: arguments.samples] for array in new[0])
    model, accuracy = train(models.lenet5(num_classes=5, rng=0), *old, epochs=15)
    print(f"digits 0 to 4, {len(old[0][0])} images: {100 * accuracy:.1f} %")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "old.safetensors"
        model.save(path)
        weights = {name: array for name, array in read(path)[0].items() if not name.startswith(("optimizer/", "fc3."))}
    for title, loaded, frozen in (
        ("afresh", False, False),
        ("from the old weights", True, False),
        ("convolutions kept", True, True),
    ):
        net = models.lenet5(num_classes=5, rng=1)
        if loaded:
            net.load_state_dict(weights, strict=False)
        test = new[1]
        if frozen:
            # What does not change is computed once; the dense layers train on what it gives.
            layers = list(net)
            cut = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Flatten))
            body, head = nn.Sequential(*layers[:cut]), nn.Sequential(*layers[cut:])
            _, accuracy = train(head, (np.array(body(few[0])), few[1]), (np.array(body(test[0])), test[1]), 40)
        else:
            _, accuracy = train(net, few, test, 40)
        print(f"digits 5 to 9, {arguments.samples} images, {title}: {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
