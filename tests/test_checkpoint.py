"""Checkpoints: what is written comes back, damage is noticed, a failing save leaves the old file."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import small_model

import cconv.callbacks
from cconv import checkpoint, nn
from cconv.checkpoint import CheckpointError, read, write

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bias": np.array([1.5, -0.0, np.nan, np.inf]),
    "count": np.array(7, np.int64),
    "flags": np.array([True, False, True]),
    "bytes": np.arange(5, dtype=np.uint8),
    "half": np.array([1, 2], np.float16),
    "none": np.zeros((0, 3), np.float32),
}


def equal(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a
    )


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "file.safetensors"
    write(path, TENSORS, {"about": 'quotes " and \\ and ü "sha256":"' + "0" * 64})
    return path


def test_what_is_written_comes_back(stored):
    tensors, metadata = read(stored)
    assert equal(tensors, TENSORS)
    assert metadata["about"].startswith('quotes "') and metadata["format"] == "cconv"


def test_the_safetensors_package_reads_it(stored):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    assert equal(load_file(stored), TENSORS)
    with safe_open(stored, "np") as file:
        assert len(file.metadata()["sha256"]) == 64


def test_files_of_the_safetensors_package_are_read(tmp_path):
    from safetensors.numpy import save_file

    for metadata in (None, {"format": "pt"}):
        save_file(TENSORS, tmp_path / "foreign", metadata)
        assert equal(read(tmp_path / "foreign")[0], TENSORS)


def test_equal_states_give_equal_bytes(tmp_path):
    for name in "ab":
        write(tmp_path / name, dict(sorted(TENSORS.items(), reverse=name == "a")), {"y": "1", "x": "2"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_of_any_order_and_byte_order(tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    write(tmp_path / "f", {"t": x.T, "s": x[:, ::2], "b": x.astype(">f4"), "z": np.float64(3)}, {})
    tensors, _ = read(tmp_path / "f")
    np.testing.assert_array_equal(tensors["t"], x.T)
    np.testing.assert_array_equal(tensors["s"], x[:, ::2])
    np.testing.assert_array_equal(tensors["b"], x)
    assert tensors["z"].shape == ()


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["a"]), np.zeros(2, complex), np.zeros(2, "i4,f4")])
def test_arrays_that_cannot_be_stored(tmp_path, array):
    with pytest.raises(TypeError, match="x"):
        write(tmp_path / "f", {"x": array}, {})
    assert list(tmp_path.iterdir()) == []


# --- damage


def test_every_truncation(stored, tmp_path):
    content = stored.read_bytes()
    cut = tmp_path / "cut"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="cut"):
            read(cut)
    for extra in (b"\0", b"x" * 8):
        cut.write_bytes(content + extra)
        with pytest.raises(CheckpointError):
            read(cut)


def test_every_bit_flip(stored, tmp_path):
    content = bytearray(stored.read_bytes())
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            checkpoint._decode(memoryview(content))
        content[bit // 8] ^= 1 << bit % 8


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HOSTILE = {
    "empty": b"",
    "short": b"\1\0\0",
    "huge header": (1 << 63).to_bytes(8, "little") + b"{}",
    "header beyond the end": (100).to_bytes(8, "little") + b"{}",
    "header over 100 MB": (100_000_001).to_bytes(8, "little") + b"{}",
    "no JSON": safetensors(b"{nonsense"),
    "no text": safetensors(b"\xff\xfe\x00"),
    "a list": safetensors([1, 2]),
    "deep": safetensors(b"[" * 100_000),
    "deep entry": safetensors(b'{"a":' * 50_000),
    "huge number": safetensors(b'{"a":' + b"9" * 10_000 + b"}"),
    "metadata list": safetensors({"__metadata__": [1]}),
    "metadata numbers": safetensors({"__metadata__": {"a": 1}}),
    "entry is text": safetensors({"a": "F32"}),
    "entry without dtype": safetensors({"a": {"shape": [], "data_offsets": [0, 0]}}),
    "unknown dtype": safetensors({"a": entry([1], 0, 4, "F31")}, bytes(4)),
    "dtype list": safetensors({"a": entry([1], 0, 4, ["F32"])}, bytes(4)),
    "object dtype": safetensors({"a": entry([1], 0, 8, "O")}, bytes(8)),
    "negative shape": safetensors({"a": entry([-1], 0, 4)}, bytes(4)),
    "two negatives": safetensors({"a": entry([-1, -1], 0, 4)}, bytes(4)),
    "fraction": safetensors({"a": entry([1.0], 0, 4)}, bytes(4)),
    "true": safetensors({"a": entry([True], 0, 4)}, bytes(4)),
    "huge shape": safetensors({"a": entry([1 << 40, 1 << 40], 0, 4)}, bytes(4)),
    "shape wraps to 4 bytes": safetensors({"a": entry([(1 << 62) + 1], 0, 4)}, bytes(4)),
    "zero beside huge": safetensors({"a": entry([0, 1 << 61], 0, 0)}),
    "40 axes": safetensors({"a": entry([1] * 40, 0, 4)}, bytes(4)),
    "offsets swapped": safetensors({"a": entry([1], 4, 0)}, bytes(4)),
    "offset beyond the end": safetensors({"a": entry([2], 0, 8)}, bytes(4)),
    "three offsets": safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4)),
    "hole at the start": safetensors({"a": entry([1], 4, 8)}, bytes(8)),
    "hole between": safetensors({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "overlap": safetensors({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, bytes(8)),
    "same bytes twice": safetensors({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)),
    "bytes after the last": safetensors({"a": entry([1], 0, 4)}, bytes(5)),
    "a name twice": safetensors(
        b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "digest removed": safetensors({"__metadata__": {"format": "cconv"}, "a": entry([1], 0, 4)}, bytes(4)),
    "digest not ASCII": safetensors(
        json.dumps({"__metadata__": {"format": "cconv", "sha256": "ü" * 64}}, ensure_ascii=False).encode()
    ),
    "lone surrogate": safetensors(b'{"__metadata__":{"sha256":"\\ud800"}}'),
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "a zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    (tmp_path / "hostile").write_bytes(HOSTILE[name])
    with pytest.raises(CheckpointError, match="hostile"):
        read(tmp_path / "hostile")
    with pytest.raises(CheckpointError, match="hostile"):
        cconv.Model.load(tmp_path / "hostile")


def test_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / "missing")
    with pytest.raises(OSError):
        read(tmp_path)
    if os.path.exists("/dev/null"):
        with pytest.raises(CheckpointError, match="regular"):
            read("/dev/null")


# --- models


@pytest.fixture
def trained():
    (x, y), _ = small_model.small_data()
    model = small_model.small_model()
    model.fit(x, y, epochs=2, verbose=0)
    model.notes = {"data": "digits", "list": [1, "ü"]}
    return model


def test_a_model_comes_back(trained, tmp_path):
    (x, y), test = small_model.small_data()
    trained.save(tmp_path / "m")
    model = cconv.Model.load(tmp_path / "m")
    assert small_model.weights(model) == small_model.weights(trained)
    assert model.evaluate(*test) == trained.evaluate(*test)
    assert model.notes == trained.notes and model.epoch == 2 and model.input_shape == (1, 8, 8)
    assert type(model.optimizer) is type(trained.optimizer)
    model.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize("stop", [1, 3, 7, 10, 13, 20])
def test_a_run_that_continues_is_the_unbroken_run_to_the_bit(tmp_path, stop):
    (x, y), test = small_model.small_data()

    class Stop(cconv.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == stop:
                self.model.save(tmp_path / "m")
                raise KeyboardInterrupt

    options = {
        "epochs": 3, "batch_size": 32, "validation_data": test, "augment": cconv.data.RandomShift(1), "rng": 7,
        "verbose": 0,
    }  # fmt: skip
    straight = small_model.small_model()
    expected = straight.fit(x, y, **options).history
    broken = small_model.small_model()
    with pytest.raises(KeyboardInterrupt):
        broken.fit(x, y, **options, callbacks=[Stop()])
    model = cconv.Model.load(tmp_path / "m")
    rest = model.fit(x, y, **options, resume=True).history
    assert small_model.weights(model) == small_model.weights(straight)
    for key, values in broken.history.history.items():
        assert values + rest[key] == expected[key]
    assert rest["loss"] == expected["loss"][-len(rest["loss"]) :]


def test_dropout_and_adam_continue_to_the_bit(tmp_path):
    (x, y), _ = small_model.small_data()

    def make():
        net = nn.Sequential(nn.Dropout(0.3, rng=1), *small_model.small_net())
        return cconv.Model(net, optimizer=cconv.optim.Adam(0.01))

    straight, first = make(), make()
    straight.fit(x, y, epochs=4, verbose=0)
    first.fit(x, y, epochs=2, verbose=0)
    first.save(tmp_path / "m")
    second = cconv.Model.load(tmp_path / "m")
    second.fit(x, y, epochs=4, verbose=0, resume=True)
    assert small_model.weights(second) == small_model.weights(straight)


def test_weights_of_others_load_through_load_state_dict(trained, tmp_path):
    from safetensors.numpy import save_file

    save_file(trained.net.state_dict(), tmp_path / "weights")
    with pytest.raises(CheckpointError, match="load_weights"):
        cconv.Model.load(tmp_path / "weights")
    net = small_model.small_net(5)
    net.load_state_dict(read(tmp_path / "weights")[0])
    assert {k: v.tobytes() for k, v in net.state_dict().items()} == small_model.weights(trained)


class Own(nn.Layer):
    def __init__(self):
        self.inside = small_model.small_net()

    def forward(self, x, train):
        return self.inside.forward(x, train)

    def output_shape(self, input_shape):
        return self.inside.output_shape(input_shape)


def test_a_network_of_own_layers_is_given_to_load(tmp_path):
    (x, y), _ = small_model.small_data()
    model = cconv.Model(Own())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="net="):
        cconv.Model.load(tmp_path / "m")
    assert small_model.weights(cconv.Model.load(tmp_path / "m", net=Own())) == small_model.weights(model)


def forged(path, **changes):
    """Write a file with a right digest and changed facts."""
    tensors, metadata = read(path)
    write(path, tensors, {**{k: v for k, v in metadata.items() if k not in ("sha256", "format")}, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "99"},
        {"architecture": "{"},
        {"architecture": "null"},
        {"architecture": "[" * 100_000},
        {"architecture": '{"type": "Layer"}'},
        {"architecture": '{"type": "os.system", "args": ["true"]}'},
        {"architecture": '{"type": "Linear", "args": [64, 11]}'},
        {"optimizer": "{}"},
        {"optimizer": '{"type": "ones_like", "arguments": {}, "state": {}}'},
        {"optimizer": '{"type": "SGD", "arguments": {"nonsense": 1}, "state": {}}'},
        {"training": "[]"},
        {"training": "{}"},
    ],
)
def test_forged_facts(trained, tmp_path, changes):
    trained.save(tmp_path / "forged")
    forged(tmp_path / "forged", **changes)
    with pytest.raises(CheckpointError, match="forged"):
        cconv.Model.load(tmp_path / "forged")


# --- writing that fails


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_save_leaves_the_old_file(stored, monkeypatch, call, error):
    old = stored.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        write(stored, {"a": np.zeros(3)}, {})
    monkeypatch.undo()
    assert stored.read_bytes() == old and os.listdir(stored.parent) == [stored.name]


def test_a_disk_that_fills_up(stored, monkeypatch):
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    old, limits = stored.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError):
            write(stored, {"a": np.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert stored.read_bytes() == old and os.listdir(stored.parent) == [stored.name]


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write(tmp_path / "nowhere" / "f", TENSORS, {})


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_link_keeps_pointing(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    write(tmp_path / "link", TENSORS, {})
    assert (tmp_path / "link").is_symlink() and equal(read(tmp_path / "real" / "file")[0], TENSORS)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_while_saving(tmp_path):
    """However a process dies, the file is a complete old or new one."""
    path = tmp_path / "file"
    write(path, {"a": np.zeros(50_000)}, {})
    program = (
        "import sys, numpy as np\nfrom cconv.checkpoint import write\nprint('go', flush=True)\ni = 0\n"
        "while True:\n    i += 1\n    write(sys.argv[1], {'a': np.full(50_000, i)}, {})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for delay in (0.0, 0.003, 0.011, 0.02):
        child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env=environment)
        child.stdout.readline()
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        child.stdout.close()
        array = read(path)[0]["a"]
        assert (array == array[0]).all()
