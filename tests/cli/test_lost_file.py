"""A worker of the command line whose file is removed."""

import pytest
from cli.test_work import put, working


@pytest.mark.parametrize(
    ("slots", "options"),
    [("2", ()), ("1", ()), ("1", ("--until-empty",))],
    ids=["a free slot", "no free slot", "until empty"],
)
def test_a_worker_says_once_what_happened_and_ends(place, slots, options):
    put(place, "job.py:Held", 2)
    how = ("--concurrency", slots, "--grace", "0.1", *options)
    with working(place, "job.py:Held", *how) as worker:
        assert worker.stdout.readline() == "running\n"
        (place.path / "run.db").unlink()
        _, said = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert said.count("run.db was removed or renamed while it was open") == 1
    assert "no further event was started" in said
    assert "the same command" not in said
    assert "Traceback" not in said
