"""Published vulnerabilities of the same operators in other packages, each as a test of the nearest function here."""

import ast
import importlib.util
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import cconv
from cconv import checkpoint, nn
from cconv import functional as F
from cconv.data.image import read_image

PACKAGE = Path(cconv.__file__).parent
BAD_INDICES = (-1, 16, 2**31, 2**62, -(2**63), 2**63 - 1)


def ones(*shape):
    return np.ones(shape, np.float32)


def refused(function, *args, **kwargs):
    with pytest.raises((ValueError, TypeError, IndexError)):
        function(*args, **kwargs)


@pytest.mark.parametrize("index", BAD_INDICES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_cve_2021_29579_and_onnxruntime_27903_indices_of_max_pool_backward(index, channels_last):
    """Each index is checked against the plane that is written, in both memory orders."""
    dy, indices = ones(1, 5, 2, 2), np.zeros((1, 5, 2, 2), np.int64)
    indices[0, 3, 1, 1] = index
    if channels_last:
        dy, indices = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) for a in (dy, indices))
    with pytest.raises(IndexError):
        F.max_pool2d_backward(dy, indices, 4)
    with pytest.raises(IndexError):
        F.max_unpool2d(dy, indices, 4)
    with pytest.raises(IndexError):
        F.max_unpool2d_backward(np.ones_like(ones(1, 5, 4, 4)), indices)


def test_cve_2021_29579_shapes_of_max_pool_backward():
    """dy and indices of different sizes are refused on both sides."""
    refused(F.max_pool2d_backward, ones(1, 1, 2, 2), np.zeros((1, 1, 3, 3), np.int64), 4)
    refused(F.max_pool2d_backward, ones(1, 1, 3, 3), np.zeros((1, 1, 2, 2), np.int64), 4)
    refused(F.max_unpool2d_backward, ones(2, 1, 4, 4), np.zeros((1, 1, 2, 2), np.int64))


def test_cve_2021_29520_shapes_of_conv3d_backward():
    """dy must be what the forward pass gives; nothing is inferred from one of three arrays."""
    x, w = ones(1, 2, 4, 4, 4), ones(3, 2, 2, 2, 2)
    for shape in ((1, 3, 3, 3, 4), (1, 3, 9, 9, 9), (1, 3, 3, 3, 2), (2, 3, 3, 3, 3), (0, 3, 3, 3, 3), (1, 3, 3, 3)):
        refused(F.conv3d_backward_weight, x, ones(*shape), 2)
    for size in (3, 5, (4, 4, 400), 0, -1, 2**40):
        refused(F.conv3d_backward_data, ones(1, 3, 3, 3, 3), w, size)
    refused(F.conv3d_backward_data, ones(1, 4, 3, 3, 3), w, 4)


@pytest.mark.parametrize("zero", ["stride", "dilation", "groups"])
def test_cve_2021_29524_29525_29526_29538_division_by_zero_in_conv2d(zero):
    x, w, dy = ones(1, 2, 4, 4), ones(2, 2, 2, 2), ones(1, 2, 3, 3)
    refused(F.conv2d, x, w, **{zero: 0})
    refused(F.conv2d_backward_data, dy, w, 4, **{zero: 0})
    refused(F.conv2d_backward_weight, x, dy, 2, **{zero: 0})
    refused(F.conv_transpose2d, x, w, **{zero: 0})
    if zero != "groups":
        refused(F.im2col, x, 2, **{zero: 0})


def test_cve_2021_41209_empty_filters():
    """No filters give no channels, no input channels the bias; a kernel of no elements is refused."""
    assert F.conv2d(ones(1, 2, 4, 4), ones(0, 2, 2, 2)).shape == (1, 0, 3, 3)
    y = F.conv2d(ones(1, 0, 4, 4), ones(2, 0, 2, 2), np.array([3, 4], np.float32))
    assert (y == np.array([3, 4]).reshape(1, 2, 1, 1)).all() and y.shape == (1, 2, 3, 3)
    refused(F.conv2d, ones(1, 2, 4, 4), ones(2, 2, 0, 2))
    refused(F.conv_transpose2d, ones(1, 2, 4, 4), ones(2, 2, 2, 0))


def test_cve_2021_29573_pooling_of_an_empty_batch():
    y, indices = F.max_pool2d(ones(0, 3, 4, 4), 2, return_indices=True)
    assert y.shape == indices.shape == (0, 3, 2, 2)
    assert F.max_pool2d_backward(y, indices, 4).shape == (0, 3, 4, 4)
    refused(F.max_pool2d, ones(1, 3, 0, 4), 2)


@pytest.mark.parametrize("big", [2**48, 2**59, 2**62, 2**63, 2**64])
def test_cve_2022_41885_sizes_that_overflow(big):
    x, w = ones(1, 1, 4, 4), ones(1, 1, 2, 2)
    for argument in ("stride", "dilation", "padding"):
        if argument == "stride" and big <= 2**62:
            assert F.conv2d(x, w, stride=big).shape == (1, 1, 1, 1)
            continue
        with pytest.raises((ValueError, MemoryError)):
            F.conv2d(x, w, **{argument: big})
        with pytest.raises((ValueError, MemoryError)):
            F.im2col(x, 2, **{argument: big})
    for call in (
        lambda: F.avg_pool2d_backward(x, big, 2),
        lambda: F.adaptive_avg_pool2d(x, big),
        lambda: F.conv_transpose2d(x, w, stride=big),
        lambda: F.conv_transpose2d(x, w, dilation=big),
        lambda: F.conv2d_backward_data(x, w, big),
        lambda: F.conv2d_backward_weight(x, x, big),
        lambda: F.col2im(ones(1, 4, 4), big, 2),
        lambda: F.max_unpool2d(x, np.zeros(x.shape, np.int64), big),
        lambda: F.pad(x, (big, big)),
    ):
        with pytest.raises((ValueError, MemoryError)):
            call()


@pytest.mark.parametrize("size", [1, 3, 5, 2**31, 2**62, 0, -4])
def test_cve_2023_25664_and_25669_input_size_of_avg_pool_backward(size):
    """The size of x is an argument like any other: dy must have the shape that it gives."""
    dy = ones(1, 1, 4, 4)
    refused(F.avg_pool2d_backward, dy, size, 2, 2)
    refused(F.avg_pool2d_backward, dy, 8, 2, 0)
    refused(F.avg_pool2d_backward, dy, 8, 0, 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cve_2025_2953_and_pytorch_73193_stride_zero(rank):
    x, w = ones(1, 1, *(4,) * rank), ones(1, 1, *(2,) * rank)
    for name in ("max_pool", "avg_pool"):
        refused(getattr(F, f"{name}{rank}d"), x, 2, 0)
        refused(getattr(F, f"{name}{rank}d"), x, 2, (1,) * (rank - 1) + (0,))
    refused(getattr(F, f"conv{rank}d"), x, w, stride=0)


def test_cve_2025_32434_and_2026_24747_no_pickle(tmp_path):
    """Nothing in the package unpickles; a pickle under the name of a checkpoint is not one."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text()))
        names = {alias.name for node in tree if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
        assert not names & {"pickle", "dill", "marshal", "shelve", "joblib"}, path
    path = tmp_path / "weights.pt"
    path.write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(checkpoint.CheckpointError):
        cconv.Model.load(path)


@pytest.mark.parametrize(
    "layer", ["os.system", "../../Linear", "Layer.__class__", "__import__", "Sequential/../x", "init", "builtins.eval"]
)
def test_cve_2025_1550_and_2026_1462_and_2026_12479_layers_by_name(layer):
    """The layers of a file come from a fixed table; a name is never a module or a path."""
    with pytest.raises(ValueError, match="unknown layer type"):
        nn.build({"type": layer, "args": ["touch x"]})


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("shape", [[2**40, 2**40], [2**62], [10**9], [2**32, 2**32], [-1, -4]])
def test_cve_2026_0897_and_2021_41203_huge_shapes_in_a_checkpoint(tmp_path, shape):
    """A declared size is compared with the file before anything is allocated."""
    path = tmp_path / "huge.safetensors"
    for offsets in ([0, 4], [0, 2**62], [2**63, 2**63 + 4], [4, 0], [0, 4 * 10**9]):
        path.write_bytes(safetensors({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}, bytes(4)))
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.read(path)


@pytest.mark.parametrize("length", [0, 7, 2**31, 2**63, 2**64 - 1])
def test_cve_2021_41203_length_of_the_header(tmp_path, length):
    path = tmp_path / "length.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.read(path)


def test_cve_2025_12638_archives(tmp_path):
    """Only files named in advance leave an archive, whatever the members are called or are."""
    import io
    import tarfile

    from cconv.data.cifar import unpack

    archive, folder = tmp_path / "a.tar.gz", tmp_path / "inside"
    folder.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../outside", "inner/../../outside", str(tmp_path / "outside"), "inner/data.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("inner/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    unpack(archive, "inner", ["data.bin"], folder)
    assert sorted(p.name for p in folder.iterdir()) == ["data.bin"]
    assert not (tmp_path / "outside").exists()
    assert all("extractall" not in path.read_text() for path in PACKAGE.rglob("*.py"))


def test_cve_2022_25882_2024_27318_2026_27489_2026_34446_onnx_external_data():
    """No ONNX file is read, so none can point outside itself; a reader must replace this test by its own."""
    assert importlib.util.find_spec("cconv.onnx") is None
    assert all(not re.search(r"onnx\.load|load_external_data", p.read_text()) for p in PACKAGE.rglob("*.py"))


def png(width, height, data, depth=8, color=0, filters=None):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        png(2**31 - 1, 2**31 - 1, b""),
        png(100_000, 100_000, bytes(1000)),
        png(4, 4, b"\x09" + bytes(19)),
        png(4, 4, bytes(3)),
        png(0, 4, b""),
        png(4, 4, bytes(20), depth=7),
        png(4, 4, bytes(20))[:40],
        png(4, 4, bytes(20))[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT",
        b"P5 99999999 99999999 255\n" + bytes(10),
        b"P5 4 4 99999\n" + bytes(10),
        b"P2 4 4 255\n1 2 3",
    ],
    ids=range(11),
)
def test_cve_2022_23584_images(tmp_path, content):
    pytest.importorskip("PIL", reason="PNG is read by Pillow")
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        read_image(path)


def test_pytorch_94696_strides_of_no_elements_that_overflow():
    """An array without elements whose other sizes overflow when multiplied. NumPy refuses to make most of them."""
    shape = (12, 2, 2, 2, 0, 4634247419717959497)
    with pytest.raises(ValueError):
        np.empty(shape, np.float32)
    huge = np.lib.stride_tricks.as_strided(np.empty(0, np.float32), (1, 0, 2**30, 2**30), (0, 0, 0, 0))
    with pytest.raises((ValueError, MemoryError)):
        F.conv2d(huge, np.empty((1, 0, 1, 1), np.float32), padding=2**30)
    refused(F.max_pool2d, np.empty((2, 3, 0, 2**40), np.float32), 2)
    refused(F.conv3d, np.empty((2, 3, 2, 0, 2**40), np.float32), ones(1, 3, 2, 2, 2))
    refused(F.adaptive_avg_pool2d, np.empty((0, 3, 2, 2), np.float32), 2**40)
