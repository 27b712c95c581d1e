"""Other people's names for what cconv does: code written for them runs with one changed import."""

from cconv.compat import cs231n

__all__ = ["cs231n"]
