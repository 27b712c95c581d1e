"""Makes the thread pool visible to threadpoolctl, which limits the pools of several libraries at once."""

from threadpoolctl import LibController, register

import cconv


class CconvController(LibController):
    """Thread count of cconv, as threadpoolctl sees it."""

    user_api = "cconv"
    internal_api = "cconv"
    filename_prefixes = ("_runtime",)
    check_symbols = ("cconv_get_num_threads",)

    def get_num_threads(self):
        return cconv.get_num_threads()

    def set_num_threads(self, num_threads):
        cconv.set_num_threads(num_threads)

    def get_version(self):
        return cconv.__version__


register(CconvController)
