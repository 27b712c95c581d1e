"""
A laboratory for batch norm
===========================

.. row:: 7.08 7.09

Much is claimed for batch normalisation: that gradients flow better, that bad first weights matter less, that larger learning rates work and training is faster; some say
that it prevents overfitting and raises accuracy, others that accuracy mostly stays as it is. Here are the claims, and an experiment: LeNet-5 with and without it, learning rates, scales of the
first weights, four epochs each on the digits.
"""

import matplotlib.pyplot as plt
import numpy as np

import cconv

(x, y), test = cconv.data.digits()
rates, scales = (0.01, 0.05, 0.25), (0.3, 1.0, 3.0)


def train(batch_norm, lr, scale, epochs):
    net = cconv.models.lenet5(batch_norm=batch_norm, rng=0)
    for parameter in net.parameters():
        if parameter.data.ndim > 1:
            parameter.data[...] *= scale
    model = cconv.Model(net, optimizer=cconv.optim.SGD(lr, momentum=0.9))
    try:
        return model.fit(x, y, 64, epochs, validation_data=test, verbose=0).history
    except FloatingPointError:
        return None


figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
for axis, batch_norm in zip(axes, (False, True), strict=True):
    table = np.zeros((len(rates), len(scales)))
    for place in np.ndindex(table.shape):
        history = train(batch_norm, rates[place[0]], scales[place[1]], epochs=4)
        table[place] = history["val_accuracy"][-1] if history else np.nan
    axis.imshow(np.nan_to_num(table), vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(scales)), scales)
    axis.set_yticks(range(len(rates)), rates)
    title = "with batch norm" if batch_norm else "without"
    axis.set(xlabel="scale of the first weights", ylabel="learning rate", title=title)
    for place in np.ndindex(table.shape):
        colour = "white" if table[place] > 0.5 else "black"
        text = f"{100 * table[place]:.0f} %"
        axis.text(*place[::-1], text, ha="center", va="center", color=colour)
    print("with batch norm" if batch_norm else "without")
    print(table.round(3))

# %%
# Test accuracies after four epochs ("nan" where the loss was no longer finite); guessing gives 10 %. Without batch norm the learning rate and the
# scale of the first weights must be right, with it nearly any will do. That much of the claims can be seen in seconds.
#
# Speed, and where it ends
# ------------------------
#
# Both at a rate that suits both, for longer:

figure, axes = plt.subplots(1, 2, figsize=(6, 2.8), layout="constrained")
for batch_norm in (False, True):
    history = train(batch_norm, 0.02, 1.0, 12)
    label = "with" if batch_norm else "without"
    axes[0].semilogy(range(1, 13), history["loss"], label=label)
    axes[1].plot(range(1, 13), history["val_accuracy"], label=label)
    loss, accuracy = history["loss"], history["val_accuracy"]
    print(f"{label:8} loss {loss[2]:.3f} after 3 epochs, {loss[-1]:.4f} after 12")
    print(f"         test accuracy {accuracy[-1]:.3f}")

ticks = range(2, 13, 2)
axes[0].set(xlabel="epoch", xticks=ticks, ylabel="training loss")
axes[1].set(xlabel="epoch", xticks=ticks, ylabel="test accuracy", ylim=(0.8, 1))
legend = axes[0].legend()

# %%
# One small data set and one seed decide nothing about overfitting. ``examples/batch_norm_lab.py`` runs the grid on more data.
