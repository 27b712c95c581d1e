"""The kernels on NumPy arrays: float32 and float64 in, the same out, torch's argument names and defaults."""

# ruff: noqa: F403
from cconv.functional.conv import *
from cconv.functional.im2col import *
