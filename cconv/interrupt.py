"""Ctrl-C between training steps instead of within one."""

import threading
from signal import SIGINT

try:
    # Without the names for handlers, which cost more than all the rest of a small step's Python.
    from _signal import getsignal, signal
except ImportError:
    from signal import getsignal, signal


class Held:
    """`with Held() as held:` Ctrl-C waits for `held.release()` or the end of the block; a second one does not.

    Elsewhere than in the main thread, which alone gets signals, nothing is held.
    """

    def __enter__(self):
        self._waiting = self._previous = None
        if threading.current_thread() is threading.main_thread() and callable(getsignal(SIGINT)):
            self._previous = signal(SIGINT, self._hold)
        return self

    def _hold(self, number, frame):
        if self._waiting is None:
            self._waiting = number, frame
        else:
            self._previous(number, frame)

    def release(self):
        """Let a Ctrl-C that waits have its effect, usually KeyboardInterrupt."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._previous(*waiting)

    def __exit__(self, kind, error, traceback):
        if self._previous is not None:
            signal(SIGINT, self._previous)
        if kind is None:
            self.release()
