"""Optimisers: one fused pass over the flat array of all parameters."""

# ruff: noqa: F401
from cconv.optim import schedules
from cconv.optim.adadelta import Adadelta
from cconv.optim.adagrad import Adagrad
from cconv.optim.adam import Adam, AdamW
from cconv.optim.base import Optimizer
from cconv.optim.lars import LARS
from cconv.optim.rmsprop import RMSprop
from cconv.optim.sgd import SGD
