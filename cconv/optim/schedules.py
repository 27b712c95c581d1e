"""Learning rates as functions of the epoch: `schedule(epoch) -> rate`, with fractions of an epoch.

They keep no state, so a resumed training has the rate of the unbroken one. Use as
`fit(..., callbacks=[LearningRateScheduler(OneCycleLR(0.4, epochs=30), by_batch=True)])`. How the loss decides instead,
see `cconv.callbacks.ReduceLROnPlateau`.
"""

import math

from cconv.functional._arguments import whole
from cconv.optim.base import nonnegative


class Schedule:
    """Base: a rate `lr` that a subclass's `at(epoch)` changes; `repr` shows the options."""

    def __init__(self, lr):
        self.lr = nonnegative(lr, "lr")

    def __call__(self, epoch, lr=None):
        """The rate at `epoch`, a float from 0; the current rate `lr` is not used."""
        return self.at(max(float(epoch), 0.0))

    def at(self, epoch):
        return self.lr

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"


class ConstantLR(Schedule):
    """Always `lr`."""


class StepLR(Schedule):
    """lr * gamma^floor(epoch / step_size).

    Parameters
    ----------
    lr, gamma : float
    step_size : int, epochs
    """

    def __init__(self, lr, step_size, gamma=0.1):
        super().__init__(lr)
        self.step_size = whole(step_size, "step_size", 1)
        self.gamma = nonnegative(gamma, "gamma")

    def at(self, epoch):
        return self.lr * self.gamma ** int(epoch // self.step_size)


class MultiStepLR(Schedule):
    """lr * gamma^(number of milestones reached), as in the papers on ResNet: (82, 123) of 164 epochs on CIFAR-10.

    Parameters
    ----------
    lr, gamma : float
    milestones : sequence of increasing epochs
    """

    def __init__(self, lr, milestones, gamma=0.1):
        super().__init__(lr)
        self.milestones = tuple(nonnegative(milestone, "milestones") for milestone in milestones)
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones must increase, got {milestones}")
        self.gamma = nonnegative(gamma, "gamma")

    def at(self, epoch):
        return self.lr * self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


class ExponentialLR(Schedule):
    """lr * gamma^epoch."""

    def __init__(self, lr, gamma):
        super().__init__(lr)
        self.gamma = nonnegative(gamma, "gamma")

    def at(self, epoch):
        return self.lr * self.gamma**epoch


class CosineAnnealingLR(Schedule):
    """Half a cosine from `lr` to `eta_min` over `epochs` (Loshchilov and Hutter 2017, equation 5, one period).

    Parameters
    ----------
    lr, eta_min : float
    epochs : int
    """

    def __init__(self, lr, epochs, eta_min=0.0):
        super().__init__(lr)
        self.epochs = whole(epochs, "epochs", 1)
        self.eta_min = nonnegative(eta_min, "eta_min")

    def at(self, epoch):
        return _cosine(self.lr, self.eta_min, epoch / self.epochs)


class OneCycleLR(Schedule):
    """A rise from `max_lr / div_factor` to `max_lr`, then a fall to a `final_div_factor`-th of the beginning.

    L. Smith, N. Topin. Super-convergence: very fast training of neural networks using large learning rates. 2018.

    Parameters
    ----------
    max_lr : float
    epochs : int, length of the cycle
    pct_start : float in (0, 1), share of the cycle that rises
    div_factor, final_div_factor : float
    anneal_strategy : "cos" or "linear"
    """

    def __init__(self, max_lr, epochs, pct_start=0.3, div_factor=25.0, final_div_factor=1e4, anneal_strategy="cos"):
        super().__init__(max_lr)
        self.epochs = whole(epochs, "epochs", 1)
        self.pct_start = float(pct_start)
        if not 0 < self.pct_start < 1:
            raise ValueError(f"pct_start must be between 0 and 1, got {pct_start}")
        self.div_factor, self.final_div_factor = float(div_factor), float(final_div_factor)
        if min(self.div_factor, self.final_div_factor) < 1:
            raise ValueError(
                f"div_factor and final_div_factor must be at least 1, got {div_factor}, {final_div_factor}"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy

    def at(self, epoch):
        first = self.lr / self.div_factor
        between = _cosine if self.anneal_strategy == "cos" else _line
        done = epoch / self.epochs
        if done < self.pct_start:
            return between(first, self.lr, done / self.pct_start)
        return between(self.lr, first / self.final_div_factor, (done - self.pct_start) / (1 - self.pct_start))


class LinearWarmup(Schedule):
    """A straight rise over the first `epochs` from `start_factor` of what another schedule says, then that schedule.

    P. Goyal et al. Accurate, large minibatch SGD: training ImageNet in 1 hour. 2017, section 2.2.

    Parameters
    ----------
    schedule : Schedule
    epochs : float
    start_factor : float, 0 to 1
    """

    def __init__(self, schedule, epochs, start_factor=0.1):
        if not callable(schedule):
            raise TypeError(f"schedule must be callable, got {type(schedule).__name__}")
        super().__init__(schedule.lr if isinstance(schedule, Schedule) else schedule(0.0))
        self.schedule = schedule
        self.epochs = nonnegative(epochs, "epochs")
        self.start_factor = nonnegative(start_factor, "start_factor")

    def at(self, epoch):
        rate = self.schedule(epoch)
        return rate if epoch >= self.epochs else rate * _line(self.start_factor, 1.0, epoch / self.epochs)


def _line(begin, end, done):
    return begin + (end - begin) * min(done, 1.0)


def _cosine(begin, end, done):
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
