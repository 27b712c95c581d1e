"""IDX files, the format of MNIST: 0, 0, element type, number of axes, sizes (big-endian), elements.

Files are untrusted: the sizes are checked against what the file holds before anything is allocated, and a
compressed file is unpacked no further than its header allows.
"""

import gzip
import math
import os
import zlib

import numpy as np

_UINT8 = 0x08
_LIMIT = 1 << 31
_GZIP = b"\x1f\x8b"


def read_idx(path, ndim):
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    Parameters
    ----------
    path : str or path-like
    ndim : int
        Number of axes that the file must have (3 for images, 1 for labels).

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    ValueError
        Naming the file, when it is not a complete IDX file of `ndim` axes, has bytes after its end, or
        holds more than 2 GB.
    OSError
        When the file cannot be read.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            return _read(file, path, ndim, os.fstat(file.fileno()).st_size)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, path, ndim, None)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None


def _read(stream, path, ndim, length):
    header_length = 4 + 4 * ndim
    header = stream.read(header_length)
    if len(header) < 4 or header[:2] != b"\0\0":
        raise ValueError(f"{path}: not an IDX file")
    if header[2] != _UINT8:
        raise ValueError(f"{path}: IDX elements must be unsigned bytes (type 0x08), got type 0x{header[2]:02x}")
    if header[3] != ndim:
        raise ValueError(f"{path}: expected {ndim} axes, got {header[3]}")
    if len(header) < header_length:
        raise ValueError(f"{path}: truncated in the IDX header")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    count = math.prod(shape)
    if count > _LIMIT:
        raise ValueError(f"{path}: shape {shape} has more than {_LIMIT} elements")
    if length is not None and length != header_length + count:
        raise ValueError(f"{path}: shape {shape} needs {header_length + count} bytes, the file has {length}")
    return np.frombuffer(_exactly(stream, path, shape, count), np.uint8).reshape(shape)


def _exactly(stream, path, shape, count):
    """`count` bytes and then the end. Memory grows with what arrives, not with what the header claims."""
    content = bytearray()
    while len(content) <= count:
        part = stream.read(min(1 << 20, count + 1 - len(content)))
        if not part:
            break
        content += part
    if len(content) < count:
        raise ValueError(f"{path}: truncated: shape {shape} needs {count} bytes of elements, got {len(content)}")
    if len(content) > count:
        raise ValueError(f"{path}: bytes after the end of shape {shape}")
    return content
