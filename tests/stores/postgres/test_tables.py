"""Statements are filled with the names of one installation."""

from lionpride.stores.postgres.tables import LONGEST, TableNames


def test_a_table_stands_with_its_schema_and_prefix() -> None:
    names = TableNames("app", "lp_")
    assert names.fill("SELECT 1 FROM {event}") == 'SELECT 1 FROM "app"."lp_event"'
    assert names.fill('"{p}ready_next"') == '"lp_ready_next"'
    assert names.channel == "app.lp_news"


def test_a_channel_that_would_be_cut_off_gets_a_short_name_of_its_own() -> None:
    one, other = TableNames("a" * 63, ""), TableNames("a" * 62 + "b", "")
    assert len(one.channel) <= LONGEST
    assert one.channel != other.channel
