"""The chart of the page on benchmarks shows the figures of its table."""

from tools import benchmark_chart

PAGE = benchmark_chart.PAGE.read_text(encoding="utf-8")


def test_each_store_has_a_row_of_this_library_and_of_others() -> None:
    rows = benchmark_chart.rows(PAGE)
    for store in ("memory", "SQLite", "PostgreSQL"):
        names = [library for each, library, _ in rows if each == store]
        assert any(name.startswith("lionpride") for name in names)
        assert any(not name.startswith("lionpride") for name in names)


def test_the_chart_is_up_to_date() -> None:
    chart = benchmark_chart.chart(PAGE)
    picture = benchmark_chart.PICTURE.read_text(encoding="utf-8")
    assert picture == chart, "run `python tools/benchmark_chart.py`"
