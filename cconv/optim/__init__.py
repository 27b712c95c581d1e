"""Optimisers: one fused pass over the flat array of all parameters."""

# ruff: noqa: F401
from cconv.optim import schedules
from cconv.optim.adam import Adam, AdamW
from cconv.optim.base import Optimizer
from cconv.optim.sgd import SGD
