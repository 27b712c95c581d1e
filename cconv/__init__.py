"""cconv: classic CNNs on an ordinary CPU, with a C core on plain NumPy arrays."""

import importlib
import os as _os
import sys as _sys

__version__ = "0.1.0"

try:
    from cconv import _runtime  # noqa: F401
except ImportError as error:
    _here = _os.path.dirname(_os.path.abspath(__file__))
    if any(name.startswith("_runtime.") and name.endswith((".so", ".pyd")) for name in _os.listdir(_here)):
        raise
    raise ImportError(
        f"the cconv found in {_here} is a source tree without its compiled core. "
        "Build it (pip install -e . in the folder above), or start Python from another folder to use "
        "an installed cconv."
    ) from error

from cconv.runtime import get_exact, get_num_threads, set_exact, set_num_threads, show_config

if "threadpoolctl" in _sys.modules:
    importlib.import_module("cconv.threadpool")

_LAZY_MODULES = {"functional", "nn", "models", "optim", "data", "callbacks", "metrics", "plot", "explain", "compat"}
_LAZY_NAMES = {
    "Model": "cconv.model",
    "History": "cconv.history",
    "recalibrate": "cconv.population",
    "gradcheck": "cconv.gradients",
}

__all__ = [
    "get_exact", "get_num_threads", "set_exact", "set_num_threads", "show_config", "__version__", *_LAZY_MODULES, *_LAZY_NAMES,
]  # fmt: skip


def __getattr__(name):
    if name in _LAZY_MODULES:
        return importlib.import_module(f"cconv.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f"module 'cconv' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
