"""Tools for tests of code that uses lionpride: virtual time, inline events, and faulty stores."""

from .faults import VERBS, Fault, Faults, delay, fail, lose
from .inline import inline
from .virtual import VirtualLoop, run_virtual, virtual_time

__all__ = (
    "VERBS",
    "Fault",
    "Faults",
    "VirtualLoop",
    "delay",
    "fail",
    "inline",
    "lose",
    "run_virtual",
    "virtual_time",
)
