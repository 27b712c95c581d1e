"""The kernels on NumPy arrays: float32 and float64 in, the same out, torch's argument names and defaults."""

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
