"""Where data sets lie on this machine, and how a missing one is fetched."""

import os
import sys
from pathlib import Path


def cache_folder():
    """Where downloads are kept: the platform's cache folder for cconv."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cconv"


def folders(name, root=None, itself=True):
    """Folders to search for the files of the data set `name`, in this order.

    With `root` those are `root` and its subfolder `name` alone; else the folder that CCONV_DATA names (when
    `itself`), its subfolder, and the cache.
    """
    if root is not None:
        return [Path(root), Path(root) / name]
    found = [cache_folder() / name]
    if os.environ.get("CCONV_DATA"):
        given = Path(os.environ["CCONV_DATA"])
        found = [*([given] if itself else []), given / name, *found]
    return found


def fetch(name, urls, sha256, wanted):
    """Download one file into the cache, from the first of `urls` that delivers it with the right digest.

    Returns
    -------
    Path

    Raises
    ------
    ImportError
        When pooch is not installed; the message names the extra and says that the user may supply `wanted`.
    OSError
        When every mirror fails.
    """
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"{name} is not on this machine. To download it: pip install cconv[data]. To use your own copy, set "
            f"CCONV_DATA to a folder with {wanted} in its subfolder {name}."
        ) from None
    filename, failures = urls[0].rpartition("/")[2], []
    for url in urls:
        try:
            # pooch checks the digest before the file gets its name.
            return Path(pooch.retrieve(url, f"sha256:{sha256}", filename, cache_folder() / name))
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
    raise OSError(f"{name}: no mirror could deliver {filename}; " + "; ".join(failures))
