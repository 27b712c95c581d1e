"""What a Model shows of itself; the base class of `cconv.Model`."""

import sys

import numpy as np


class Inspected:
    """Summary, gradient check, profile and memory plan of a network, its loss and its optimiser; and a plan carried out."""

    def summary(self, input_shape=None):
        """Print and return the layers, output shapes, parameters and multiply-adds.

        Parameters
        ----------
        input_shape : tuple, optional
            Of one sample, such as (1, 28, 28); that of the training data unless given.

        Returns
        -------
        cconv.summary.Summary
            Interactive sessions show it themselves, so it is not printed there.
        """
        from cconv.summary import summary

        if input_shape is None and self.input_shape is None:
            raise ValueError("input_shape is needed before the first fit")
        table = summary(self.net, self.input_shape if input_shape is None else input_shape)
        if not hasattr(sys, "ps1"):
            print(table)
        return table

    def gradcheck(self, x, y, samples=10, tolerance=1e-5, rng=0):
        """Compare the gradients of the loss for a batch with central differences in float64, on a copy of the network.

        Arguments and the GradientReport returned are those of `cconv.gradcheck`.
        """
        from cconv.gradients import check_model

        return check_model(self, *self._checked(x, y), samples, tolerance, rng)

    def profile(self, x, y, steps=7):
        """Time the layers of a training step on one batch, with copies of the weights: the model stays as it is.

        Parameters
        ----------
        x, y : one batch, as for `train_on_batch`
        steps : int, of which medians are shown; five times as many where they take less than 5 ms

        Returns
        -------
        cconv.profile.Profile
            Rows of the network that runs, where neighbours may be joined, by the user's names: seconds forward and
            backward, GFLOP/s, GB/s, their shares of the machine's measured peaks, algorithms and runners-up.
            `cconv.plot.roofline` draws it.
        """
        from cconv.profile import profile

        x, y = self._checked(x, y)
        x = (x / 255 if x.dtype == np.uint8 else np.asarray(x)).astype(self.dtype, copy=False)
        return profile(self, x, y, steps)

    def memory_plan(self, batch_size, input_shape=None, max_memory=None):
        """What a training step takes from memory, before it runs; the batch itself is not counted.

        Parameters
        ----------
        batch_size : int
        input_shape : tuple, optional
            Of one sample, such as (1, 28, 28); that of the training data unless given.
        max_memory : int, optional
            Bytes, parameters and optimiser included. Where a step needs more, some layers run forward again in backward
            rather than keep what they computed: the plan's `stretches`, for `Model.recompute`, chosen for the least
            work. Where that is not enough, the batch is split into parts whose gradients are added up: the plan's
            `batch_size` and `accumulate`. Its `cost` says what this costs. What runs again is a layer or a whole block
            (residual, Inception) of those that the network runs one after the other, never a part of a block.

        Returns
        -------
        cconv.memory_plan.MemoryPlan

        Raises
        ------
        ValueError
            For shapes that the network does not take, and a `max_memory` below what one sample needs.
        """
        from cconv.memory_plan import checked, plan
        from cconv.recompute import fit

        if input_shape is None and self.input_shape is None:
            raise ValueError("input_shape is needed before the first fit")
        shape = self.input_shape if input_shape is None else input_shape
        if max_memory is not None:
            return fit(self, batch_size, shape, max_memory)
        return plan(self, *checked(self, batch_size, shape))

    def recompute(self, stretches):
        """Train with less memory from now on: the layers of `stretches` run forward again in backward.

        The weights get the same bits, later. `stretches` are those of a plan of `memory_plan(..., max_memory=...)`: pairs
        (begin, end) of positions among the layers that run one after the other; () for nothing. Checkpoints do not
        hold them. `nn.Recompute` does the same for layers that you choose.

        Raises
        ------
        ValueError
            Where they overlap, or lie outside the network.
        """
        from cconv.fuse import fuse, recomputing

        self._fused, self.recomputed = recomputing(fuse(self.net), stretches), tuple(stretches)
