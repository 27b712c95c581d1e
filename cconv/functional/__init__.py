"""The kernels on NumPy arrays: float32 and float64 in, the same out, torch's argument names and defaults.

Functions that return one array, losses apart, take `out=`: an array of its shape and dtype, in any memory order, that takes
the result and is returned. It may overlap the arguments. One that does not fit is an error before it is written to.
"""

# ruff: noqa: F403
from cconv.functional.activation import *
from cconv.functional.conv import *
from cconv.functional.conv_transpose import *
from cconv.functional.dropout import *
from cconv.functional.element_loss import *
from cconv.functional.im2col import *
from cconv.functional.linear import *
from cconv.functional.local_norm import *
from cconv.functional.loss import *
from cconv.functional.lp_pool import *
from cconv.functional.margin_loss import *
from cconv.functional.norm import *
from cconv.functional.padding import *
from cconv.functional.pool import *
from cconv.functional.sample_norm import *
from cconv.functional.unpool import *
