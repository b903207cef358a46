"""``cancel`` of what another process runs, over a file: two real processes, one real file."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lionpride.core import EventStatus
from lionpride.errors import EventCancelledError

JOB = """
import asyncio

from lionpride.core import Event, Executor, Processor


class Tell(Event):
    streaming: bool = True

    async def _stream(self):
        for number in range(3):
            yield number
        print("told", flush=True)
        try:
            await asyncio.sleep(3600)
        finally:
            print("cleaned up", flush=True)


class TellProcessor(Processor):
    event_type = Tell


class Teller(Executor):
    processor_type = TellProcessor


async def main(url):
    async with Teller(store=url) as executor:
        await executor.append(Tell())
        await executor.join()


if __name__ == "__main__":
    import sys

    asyncio.run(main(sys.argv[1]))
"""


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.promise("pause-drain-cancel")
async def test_what_another_process_runs_is_cancelled_and_keeps_its_chunks(tmp_path: Path) -> None:
    file = tmp_path / "telling.py"
    file.write_text(JOB)
    url = f"sqlite:///{tmp_path}/run.db"
    other = await asyncio.create_subprocess_exec(
        sys.executable, file, url, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"told\n"

    executor = imported(file).Teller(store=url)
    (record,) = await executor.store.list_records(EventStatus.PROCESSING)
    assert await executor.cancel(record.id) is True
    with pytest.raises(EventCancelledError):
        await executor.result(record.id)
    said, _ = await other.communicate()
    assert (said, other.returncode) == (b"cleaned up\n", 0)

    (ended,) = await executor.store.list_records(EventStatus.CANCELLED)
    assert ended.id == record.id
    assert ended.event().response == [0, 1, 2]
    assert await executor.cancel(record.id) is False, "it has ended"
    await executor.store.close()
