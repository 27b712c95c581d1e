"""
Why inputs are normalised
=========================

.. row:: 7.11

Gradients of the first layer's weights are products with the input. When all inputs are large and positive, all weights of a unit move in the same direction; when features differ in
scale by a hundred, no learning rate suits both.
"""

import numpy as np

import cconv
from cconv import nn

(x, y), (x_test, y_test) = cconv.data.digits(8)
raw, raw_test = x * 255 + 100, x_test * 255 + 100
mean, std = raw.mean(), raw.std()


def train(layers, lr):
    dense = (nn.Linear(64, 32, rng=0), nn.ReLU(), nn.Linear(32, 10, rng=1))
    net = nn.Sequential(*layers, nn.Flatten(), *dense)
    model = cconv.Model(net, optimizer=cconv.optim.SGD(lr))
    try:
        model.fit(raw, y, batch_size=32, epochs=3, verbose=0)
    except FloatingPointError:
        return "the loss was not finite"
    return f"{model.evaluate(raw_test, y_test)['accuracy']:.3f}"


for lr in (1e-5, 1e-3, 1e-1):
    normalised = train([nn.Normalize(mean, std)], lr)
    print(f"learning rate {lr:g}: raw {train([], lr)}, normalised {normalised}")

# %%
# Raw inputs only bear small rates, at which little is learnt; normalised ones bear a rate that gets somewhere.
# ``nn.Normalize`` as the first layer belongs to the network: it is saved with it, and training, evaluation and prediction see the same pixels. Each channel has its own constants:

colours = np.random.default_rng(14).normal(7, 4, (100, 3, 5, 5)).astype(np.float32)
z = nn.Normalize(colours.mean(axis=(0, 2, 3)), colours.std(axis=(0, 2, 3)))(colours)
print(z.mean(axis=(0, 2, 3)).round(5), z.std(axis=(0, 2, 3)).round(5))
