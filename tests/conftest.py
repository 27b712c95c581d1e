"""What all tests share: hypothesis without deadlines, because sanitizer builds and busy machines are slow."""

import os
import signal

import hypothesis
import pytest

hypothesis.settings.register_profile("cconv", deadline=None, print_blob=True, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("cconv")

# A shell's background jobs ignore Ctrl-C, and so would the tests about it and their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_draws(monkeypatch):
    """Initialisers leave the memory of a large Parameter untouched, so that 140 million parameters cost nothing. Small
    ones are zero: layers compute with what was drawn, and memory that was used before may hold signalling NaNs."""
    from cconv.nn import init

    def undrawn(parameter, *args, **kwargs):
        if parameter.data.size <= 1 << 16:
            parameter.data[...] = 0
        return parameter

    for name in ("uniform", "normal", "constant"):
        monkeypatch.setattr(init, name, undrawn)


@pytest.fixture(autouse=True)
def same_threads():
    """Whatever a test sets, the next one starts with the threads that this one had."""
    import cconv

    threads = cconv.get_num_threads()
    yield
    if cconv.get_num_threads() != threads:
        cconv.set_num_threads(threads)


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """A temporary folder as the current one, without data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CCONV_DATA", raising=False)
    return tmp_path
