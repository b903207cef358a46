"""The wall clock of the workers, which a campaign sets forward and back.

All processes of a machine share one wall clock, so the shift is in memory that the nursery shares
with the workers it forks. The library binds ``time.time`` when it is imported: this module must be
imported before it.
"""

import mmap
import struct
import time

_DOUBLE = struct.Struct("d")
_shift = mmap.mmap(-1, _DOUBLE.size)
_machine_time = time.time


def set_shift(seconds: float) -> None:
    """Set the wall clock so many seconds before the machine's, in this process and its children."""
    _DOUBLE.pack_into(_shift, 0, seconds)


def wall_clock() -> float:
    """Return the machine's time plus the shift."""
    shift: float = _DOUBLE.unpack_from(_shift)[0]
    return _machine_time() + shift


def install() -> None:
    """Replace ``time.time`` for all that is imported from now on."""
    time.time = wall_clock
