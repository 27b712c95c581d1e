"""CIFAR's binary files: found, read, unpacked, and refused when they are damaged."""

import io
import sys
import tarfile
import types

import numpy as np
import pytest

from cconv.data import cifar10, cifar100
from cconv.data.cifar import unpack


def records(count, labels, classes, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (count, labels + 3072)).astype(np.uint8)
    table[:, :labels] = rng.integers(0, classes, (count, labels))
    return table


def write_cifar10(folder):
    folder.mkdir(parents=True)
    tables = [records(4, 1, 10, seed) for seed in range(6)]
    for name, table in zip([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"], tables, strict=True):
        (folder / name).write_bytes(table.tobytes())
    return np.concatenate(tables[:5]), tables[5]


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("CCONV_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)


@pytest.mark.parametrize("inner", ["", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
@pytest.mark.parametrize("by", ["root", "environment"])
def test_found_below_the_folder_named(tmp_path, monkeypatch, nowhere, inner, by):
    train, test = write_cifar10(tmp_path / "data" / inner)
    if by == "environment":
        monkeypatch.setenv("CCONV_DATA", str(tmp_path / "data"))
    (x, y), (x_test, y_test) = cifar10(tmp_path / "data" if by == "root" else None, raw=True)
    np.testing.assert_array_equal(y, train[:, 0])
    np.testing.assert_array_equal(x.reshape(20, -1), train[:, 1:])
    np.testing.assert_array_equal(x_test[1, 2, 5, 7], test[1, 1 + 2 * 1024 + 5 * 32 + 7])
    scaled = cifar10(tmp_path / "data")[1][0]
    assert scaled.dtype == np.float32 and y.dtype == np.int64
    np.testing.assert_array_equal(scaled, x_test.astype(np.float32) / np.float32(255))


def test_cifar100_takes_the_fine_label(tmp_path, nowhere):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    train, test = records(7, 2, 20), records(3, 2, 20, 1)
    train[:, 1] = [99, 0, 5, 7, 50, 60, 98]
    (folder / "train.bin").write_bytes(train.tobytes())
    (folder / "test.bin").write_bytes(test.tobytes())
    (x, y), (x_test, _) = cifar100(tmp_path)
    assert y.tolist() == [99, 0, 5, 7, 50, 60, 98]
    assert x.shape == (7, 3, 32, 32) and x_test.shape == (3, 3, 32, 32)


@pytest.mark.parametrize("damage", ["short", "long", "empty", "label"])
def test_damaged_files_are_named(tmp_path, nowhere, damage):
    write_cifar10(tmp_path / "cifar10")
    path = tmp_path / "cifar10" / "data_batch_3.bin"
    content = path.read_bytes()
    changed = {"short": content[:-1], "long": content * 2501, "empty": b"", "label": b"\x0a" + content[1:]}[damage]
    path.write_bytes(changed)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin"):
        cifar10(tmp_path)


def test_missing_files_and_missing_extra(tmp_path, nowhere):
    with pytest.raises(FileNotFoundError, match="test_batch.bin"):
        cifar10(tmp_path)
    with pytest.raises(ImportError, match=r"cconv\[data\]"):
        cifar10()


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def test_download_unpacks_only_the_data(tmp_path, monkeypatch, nowhere):
    train, test = records(2, 2, 20), records(2, 2, 20)
    path = tmp_path / "cifar-100-binary.tar.gz"
    inside = [("../evil", b"x"), ("cifar-100-binary/evil", b"x")]
    inside += [("cifar-100-binary/train.bin", train.tobytes()), ("cifar-100-binary/test.bin", test.tobytes())]
    archive(path, inside)
    asked = []

    def retrieve(url, known_hash, fname, path_):
        asked.append((url, known_hash, fname))
        return str(path)

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    (x, _), _ = cifar100(raw=True)
    np.testing.assert_array_equal(x.reshape(2, -1), train[:, 2:])
    assert asked[0][1].startswith("sha256:58a81a") and not path.exists()
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.rglob("*.part"))
    cifar100()
    assert len(asked) == 1


def test_hostile_archives(tmp_path):
    archive(tmp_path / "link.tar.gz", [("inner/a", None)])
    with pytest.raises(ValueError, match="inner/a"):
        unpack(tmp_path / "link.tar.gz", "inner", ["a"], tmp_path / "out")
    (tmp_path / "bad.tar.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(ValueError, match="damaged"):
        unpack(tmp_path / "bad.tar.gz", "inner", ["a"], tmp_path / "out")
