"""Texts are cut the same way whatever their width, case and script, and no text is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.support.pieces import LONGEST, excerpt, grams, plain, runs, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where's my order 12345?", ["where's", "my", "order", "00000", "?"]),
        ("Where\u2019s　ＭＹ order", ["where's", "my", "order"]),  # a curly apostrophe, full width
        ("退款!我的order呢", ["退", "款", "!", "我", "的", "order", "呢"]),
        ("mail <EMAIL> re <ORDER>", ["mail", "<email>", "re", "<order>"]),
        ("re\u200bfund iphone15", ["refund", "iphone", "00"]),
        ("", []),
        (" \t\n", []),
        ("٣٤ items", ["00", "items"]),  # Arabic digits are digits
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(plain(text)) == expected


def test_grams_keep_within_words() -> None:
    assert list(grams("ab c", 2, 3)) == [" a", "ab", "b ", " ab", "ab ", " c", "c ", " c "]


def test_a_word_shorter_than_the_shortest_gram_is_its_own() -> None:
    assert list(grams("a", 4, 5)) == [" a "]


def test_runs_are_neighbours() -> None:
    assert list(runs(["a", "b", "c"], 2)) == ["\ta", "\tb", "\tc", "\ta\tb", "\tb\tc"]
    assert list(runs(["a"], 2)) == ["\ta"] and list(runs(["a"], 0)) == []


@given(st.text())
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@given(st.text(max_size=3 * LONGEST))
def test_an_excerpt_is_short_and_keeps_both_ends(text: str) -> None:
    short = excerpt(text)
    assert len(short) <= LONGEST and short[:500] == text[:500] and short[-500:] == text[-500:]


def test_a_megabyte_is_read_by_its_ends() -> None:
    read = words(plain("hello " + "refund " * 150_000 + "goodbye"))
    assert read[0] == "hello" and read[-1] == "goodbye" and len(read) < LONGEST
