"""torch.nn.functional's signatures on top of cconv.functional, for NumPy arrays.

OPERATORS[name](...) -> (y, backward): y is an array or a tuple of arrays of which the first is differentiated, and
backward(dy) -> {argument: gradient}. An image without a batch axis gets one here.
"""

from conformance import torch_elements, torch_norms, torch_products, torch_windows

OPERATORS = {}
for _module in (torch_windows, torch_products, torch_norms, torch_elements):
    OPERATORS.update(_module.OPERATORS)
