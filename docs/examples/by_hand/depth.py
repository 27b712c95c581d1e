"""
Deeper is not always better
===========================

.. row:: 6.18

A deeper network can do whatever a shallower one can, if its further layers learn to do nothing: the functions of the one are nested in those of the other. Learning to do nothing is
hard for a plain layer, and easy for a residual one, whose weights only have to stay small. Plain networks of 20 and 56 layers, and a residual one of 56, for 128 steps on the
small digits:
"""

import matplotlib.pyplot as plt
import numpy as np

import cconv
from cconv import models

(x, y), _ = cconv.data.digits(8)
x, y = np.ascontiguousarray(x[:512]), y[:512]
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, build, shortcut in (
    ("plain, 20 layers", models.resnet20, "plain"),
    ("plain, 56 layers", models.resnet56, "plain"),
    ("residual, 56 layers", models.resnet56, "A"),
):
    net = build(in_channels=1, shortcut=shortcut, rng=0)
    model = cconv.Model(net, optimizer=cconv.optim.SGD(0.005, momentum=0.9))
    history = model.fit(x, y, batch_size=32, epochs=8, rng=0, verbose=0).history
    axes.plot(range(1, 9), history["loss"], label=name)
    count = sum(parameter.size for parameter in net.parameters())
    first, *_, last = history["loss"]
    print(f"{name:20} {count:,} parameters, loss {first:.3f} -> {last:.3f}")

axes.set(xlabel="epoch", ylabel="training loss")
legend = axes.legend()

# %%
# The plain network of 56 layers is worse than that of 20 *on the training set*: that is not overfitting, it is hard to train. The residual one of the same
# depth, with the same number of weights, learns fastest of the three (for the three channels of CIFAR-10 they have 269,722 and 853,018 parameters). One data set and one learning rate are no proof; the experiment at full size, on
# CIFAR-10, is ``examples/plain_and_residual.py`` in the repository.
