"""What importing `lionpride.core` costs beside what it cannot do without.

`import pydantic` alone is an empty shell: its parts are imported when they are first named,
and its schema builder when the first model is declared. So three references are shown: that
shell; BaseModel imported; and pydantic in use, which is asyncio and one model without fields.
Every library that declares a model pays the last.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from benchmarks import bars
from benchmarks.isolate import Figures, run_json
from benchmarks.rounds import alternate
from benchmarks.table import Row, Section, absent, figure, held

TIMES = 9
SHELL = "import asyncio, pydantic"
BASE = "asyncio, and BaseModel of pydantic"
IN_USE = "asyncio, pydantic, one empty model"
OURS = "import lionpride.core"
STATEMENTS = {
    SHELL: "import asyncio, pydantic",
    BASE: "import asyncio\nfrom pydantic import BaseModel",
    IN_USE: "import asyncio\nfrom pydantic import BaseModel\nclass Model(BaseModel): pass",
    OURS: "import lionpride.core",
}
TIMED = """
import sys, json
from time import perf_counter
began = perf_counter()
{statement}
took = perf_counter() - began
modules = sorted({{name.partition(".")[0] for name in sys.modules}} - sys.stdlib_module_names)
print(json.dumps({{"ms": took * 1e3, "modules": modules}}))
"""


def time_import(statement: str) -> Figures:
    """Bytecode is written if it was not, as for pydantic when it was installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return run_json([sys.executable, "-c", TIMED.format(statement=statement)], environment)


def report(rounds: int) -> Section:
    section = Section("imports", f"IMPORT: ms, of {max(rounds, TIMES)} fresh interpreters each")
    questions = {label: partial(time_import, text) for label, text in STATEMENTS.items()}
    answers = alternate("imports", questions, max(rounds, TIMES))
    for label in STATEMENTS:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ms"), "ms"))
        else:
            section.rows.append(absent(label, answers.failures[label]))
    if OURS not in answers:
        return section
    ours = answers.samples(OURS, "ms").least
    against_use = ours / answers.samples(IN_USE, "ms").least
    against_base = ours / answers.samples(BASE, "ms").least
    against_shell = ours / answers.samples(SHELL, "ms").least
    foreign = foreign_modules(answers.figures[OURS][0], answers.figures[IN_USE][0])
    count = Row(
        "    modules beyond pydantic's", minimum=len(foreign), bar=str(bars.FOREIGN_MODULES)
    )
    count.verdict = bars.FOREIGN_MODULES.verdict(len(foreign))
    section.rows += [
        held("    over pydantic in use", against_use, bars.IMPORT_TIME),
        Row("    over BaseModel imported", ratio=against_base),
        Row("    over the empty shell", ratio=against_shell),
        count,
    ]
    section.notes.append(f"imported beyond what pydantic needs: {', '.join(foreign) or 'nothing'}")
    return section


def foreign_modules(ours: Figures, reference: Figures) -> list[str]:
    """Top-level modules that are neither the standard library's, pydantic's, nor our own."""
    return sorted(set(ours["modules"]) - set(reference["modules"]) - {"lionpride"})
