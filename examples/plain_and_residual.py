"""Deeper is not always better: plain networks of 20 and 56 layers against residual ones, on the same images.

    python examples/plain_and_residual.py [--epochs N] [--samples N] [--depths 20 56]

After K. He et al., Deep residual learning for image recognition (2016), figure 6, at a fraction of the training. CIFAR-10
is read from $CCONV_DATA or the cache, or downloaded (pip install cconv[data]).
"""

import argparse

import cconv
from cconv import models, nn
from cconv.data import Compose, RandomCrop, RandomHorizontalFlip, cifar10


def train(data, depth, shortcut, epochs):
    (x, y), test = data
    net = nn.Sequential(
        nn.Normalize((0.491, 0.482, 0.446), (0.247, 0.243, 0.261)),
        models.create(f"resnet{depth}", shortcut=shortcut, rng=0),
    )
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.1, momentum=0.9, weight_decay=1e-4))
    augment = Compose([RandomCrop(32, 4), RandomHorizontalFlip()])
    history = model.fit(x, y, 128, epochs, augment=augment, verbose=0).history
    return history["loss"], model.evaluate(*test)["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--depths", type=int, nargs="+", default=[20, 56], choices=(20, 32, 44, 56, 110))
    arguments = parser.parse_args()
    (x, y), test = cifar10(raw=True)
    data = (x[: arguments.samples], y[: arguments.samples]), test
    found = []
    for shortcut, name in (("plain", "plain"), ("A", "residual")):
        for depth in arguments.depths:
            losses, accuracy = train(data, depth, shortcut, arguments.epochs)
            course = " ".join(f"{loss:.3f}" for loss in losses)
            print(f"{name}-{depth}: training loss {course}, test accuracy {100 * accuracy:.2f} %", flush=True)
            found.append(f"{name}-{depth} {losses[-1]:.3f}")
    print(f"training loss after {arguments.epochs} epochs: {', '.join(found)}")


if __name__ == "__main__":
    main()
