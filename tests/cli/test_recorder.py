"""Keeping what the timeline draws: every stay of every event, whatever became of it."""

from kit import ABORTED, COMPLETED, FAILED, PENDING, PROCESSING, SKIPPED, Steps, Thing

from lionpride.cli.chart import Span
from lionpride.cli.recorder import Recorder
from lionpride.core import Event
