"""Days are told in ISO form where they are certain, and as written where they are not."""

from datetime import date

import pytest

from components.support.understanding.dates import dates

DAY = date(2024, 3, 6)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2024-03-05", "2024-03-05"),
        ("on 3 May 2023", "2023-05-03"),
        ("May 3rd", "2024-05-03"),
        ("25/12/2023", "2023-12-25"),
        ("03/04/2024", "03/04/2024"),
        ("yesterday", "2024-03-05"),
        ("two weeks ago", "2024-02-21"),
        ("last Monday", "2024-03-04"),
        ("3月1日", "2024-03-01"),
        ("前天", "2024-03-04"),
        ("上周三", "2024-02-28"),
        ("三天前", "2024-03-03"),
    ],
)
def test_the_day_that_is_meant(text: str, expected: str) -> None:
    assert [value for _, _, value in dates(text, DAY)] == [expected]


def test_a_day_stays_as_written_where_nothing_tells_which() -> None:
    assert [value for _, _, value in dates("yesterday, 2024-03-05", None)] == ["yesterday", "2024-03-05"]
