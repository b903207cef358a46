"""A process without a free file descriptor, for a while."""

import os
import resource
from collections.abc import Callable

SECONDS = 0.5
"""How long a worker gets no file descriptor."""


def exhaust(besides: int = 0) -> Callable[[], None]:
    """Let the kernel refuse new file descriptors, but for the next ones if their numbers are free.

    Args:
        besides: How many numbers, from the lowest free one on, can still be given.

    Returns:
        The function that ends this.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest free number: every new one is this or a higher one
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + besides, before[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, before)
