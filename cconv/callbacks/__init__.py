"""What happens around training: hooks with Keras's names, and the ones most runs need."""

# ruff: noqa: F401
from cconv.callbacks.base import Callback, CallbackList, Monitor
from cconv.callbacks.checkpoint import ModelCheckpoint
from cconv.callbacks.log import CSVLogger, JSONLogger, TensorBoard
from cconv.callbacks.rate import LearningRateScheduler, ReduceLROnPlateau
from cconv.callbacks.stop import EarlyStopping, TerminateOnNaN
