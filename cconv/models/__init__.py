"""The classic networks, one family a file."""

# ruff: noqa: F401
from cconv.models.lenet import lenet5
from cconv.models.registry import create, names
