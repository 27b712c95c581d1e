"""A model that trains in milliseconds, for tests of everything around training."""

import numpy as np

import cconv
from cconv import nn, optim


def small_net(seed=0, classes=10):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    rng = np.random.default_rng(seed)
    for parameter in net.parameters():
        nn.init.normal(parameter, std=0.05, rng=rng)
    return net


def small_model(seed=0, lr=0.1, momentum=0.9):
    return cconv.Model(small_net(seed), optimizer=optim.SGD(lr, momentum=momentum))


def small_data(count=200):
    (x, y), (x_test, y_test) = cconv.data.digits(8)
    return (x[:count], y[:count]), (x_test[:50], y_test[:50])


def weights(model):
    return {name: array.tobytes() for name, array in model.net.state_dict().items()}
