"""Chains of small convolutions with ReLU and 2x2 max pooling, prepared for one input shape.

float32 only; what `nn.lanes.ConvChain` runs on.
"""

from cconv._lanes import MAX_STAGES, Chain

__all__ = ["MAX_STAGES", "Chain"]
