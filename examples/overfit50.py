"""Learn 50 digits by heart with a deep dense network: a network and its training that cannot do this are broken.

    python examples/overfit50.py

Depth and the scale of the first weights decide: deep networks need a larger one, or signals die out on the way.
"""

import numpy as np

import cconv
from cconv import nn


def network(depth, scale, rng):
    layers, features = [nn.Flatten()], 64
    for _ in range(depth):
        layers += [nn.Linear(features, 100), nn.ReLU()]
        features = 100
    net = nn.Sequential(*layers, nn.Linear(features, 10))
    for parameter in net.parameters():
        values = rng.standard_normal(parameter.shape) * scale if parameter.data.ndim > 1 else 0
        parameter.data[...] = values
    return net


def train(depth, scale, lr, epochs=60):
    """Accuracy on the 50 training samples."""
    (x, y), _ = cconv.data.digits(8)
    x, y = x[:50], y[:50]
    model = cconv.Model(network(depth, scale, np.random.default_rng(0)), optimizer=cconv.optim.Adam(lr))
    model.fit(x, y, 25, epochs, verbose=0, callbacks=[cconv.callbacks.TerminateOnNaN()])
    return model.evaluate(x, y)["accuracy"]


def main():
    scales = (0.001, 0.01, 0.05, 0.1, 0.2)
    print("accuracy on 50 training digits\nlayers " + "".join(f"{f'scale {scale}':>13}" for scale in scales))
    learnt = []
    for depth in (2, 3, 5):
        found = [train(depth, scale, 2e-3) for scale in scales]
        print(f"{depth:6} " + "".join(f"{accuracy:13.2f}" for accuracy in found))
        smallest = next((scale for scale, accuracy in zip(scales, found, strict=True) if accuracy == 1), "none")
        learnt.append(f"{depth} layers from scale {smallest}")
    print(f"all 50 learnt: {', '.join(learnt)}")


if __name__ == "__main__":
    main()
