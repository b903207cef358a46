"""Questions about many events cost what they ask for, not what waits beside."""

import json

import pytest
from stores.homes import Home
from stores.makers import Job, postgres_in

from lionpride.stores.postgres import queries, transaction
from lionpride.stores.postgres.connection_pool import Connector
from lionpride.stores.postgres.tables import TableNames

MANY = 1000


def nodes(plan):
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


@pytest.mark.promise("postgres-query-cost")
@pytest.mark.parametrize(
    ("statement", "more"),
    [
        (f"{queries._FIND} WHERE e.number = ANY($1::bigint[])", ()),
        (queries._STATUSES, (1,)),
        (transaction._DELETE_READY, (1,)),
    ],
    ids=["find", "standing", "delete ready"],
)
async def test_each_event_is_looked_up_by_its_key(opened, statement, more):
    """The planner believes a table to be empty that was so when it last looked."""
    home = Home()
    store = postgres_in(home, None)
    opened.append(store)
    await store.append([(Job(), float(n)) for n in range(MANY)])
    numbers = [record.number for record in await store.list_records(limit=MANY)]
    names = TableNames(home.schema, "")
    connection = await Connector(home.url, names, pgbouncer=False, patience=10).open()
    text = f"EXPLAIN (ANALYZE, FORMAT JSON) {names.fill(statement)}"
    async with connection.transaction():
        ((plan,),) = await connection.fetch(text, numbers, *more)
    await connection.close()
    for node in nodes(json.loads(plan)[0]["Plan"]):
        assert not node.get("Rows Removed by Join Filter"), node
        assert node["Actual Rows"] * node["Actual Loops"] <= MANY, node
        assert node["Node Type"] not in ("Seq Scan", "Materialize"), node
