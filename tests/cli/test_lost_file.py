"""A worker of the command line whose file is removed."""

import textwrap

import pytest
from cli.test_work import put, working

SHORT = """
    from job import Held
    from lionpride import Executor, Processor

    class Holding(Processor):
        event_type = Held

    class Desk(Executor):
        processor_type = Holding

        def __init__(self, *args, **kwargs):
            super().__init__(*args, grace=0.1, **kwargs)
"""


@pytest.mark.parametrize(
    ("slots", "options"),
    [("2", ()), ("1", ()), ("1", ("--until-empty",))],
    ids=["a free slot", "no free slot", "until empty"],
)
def test_a_worker_says_once_what_happened_and_ends(place, slots, options):
    (place.path / "short.py").write_text(textwrap.dedent(SHORT))
    put(place, "job.py:Held", 2)
    with working(place, "short.py:Desk", "--concurrency", slots, *options) as worker:
        assert worker.stdout.readline() == "running\n"
        (place.path / "run.db").unlink()
        _, said = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert said.count("run.db was removed or renamed while it was open") == 1
    assert "nothing more was started" in said
    assert "Traceback" not in said
