"""The starter corpus holds what it promises, and a broken taxonomy is refused with words that help."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import sparse

from components.core.errors import DataError, MissingTable
from components.support.taxonomy import LANGUAGES, STARTER, Taxonomy, messages

PROTECTED = {"cancel_order", "request_refund", "refund_status", "delete_my_data", "talk_to_person"}


@pytest.fixture(scope="module")
def corpus() -> pl.DataFrame:
    return messages(STARTER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two intents of the starter corpus, to be broken."""
    for name in ("cancel_order", "refund_status"):
        for suffix in ("yaml", "csv"):
            shutil.copy(STARTER / f"{name}.{suffix}", tmp_path)
    return tmp_path


def trigrams(texts: list[str]) -> sparse.csr_matrix:
    """(texts, distinct trigrams) of zeros and ones; a text shorter than three characters is one of its own."""
    number: dict[str, int] = {}
    sets = [{text[i : i + 3] for i in range(max(1, len(text) - 2))} for text in map(str.lower, texts)]
    columns = [number.setdefault(gram, len(number)) for grams in sets for gram in grams]
    rows = np.repeat(np.arange(len(sets)), [len(grams) for grams in sets])
    return sparse.csr_matrix((np.ones(len(columns), dtype=np.int32), (rows, columns)))


def most_alike(texts: list[str]) -> tuple[float, str, str]:
    """The highest character-trigram Jaccard of two of them, and those two."""
    grams = trigrams(texts)
    size = np.asarray(grams.sum(axis=1)).ravel()
    shared = sparse.triu(grams @ grams.T, k=1).tocoo()
    alike = shared.data / (size[shared.row] + size[shared.col] - shared.data)
    best = int(alike.argmax())
    return float(alike[best]), texts[shared.row[best]], texts[shared.col[best]]


def test_trigrams_measure_what_they_should() -> None:
    alike, *_ = most_alike(["abcd", "ABCE", "zzz"])
    assert alike == pytest.approx(1 / 3)  # abc in common, bcd and bce not


def test_enough_examples_and_ways_of_asking(corpus: pl.DataFrame) -> None:
    counts = corpus.drop_nulls("intent").group_by("intent", "language").agg(pl.len(), pl.col("family").n_unique())
    assert counts.height == 32 * len(LANGUAGES) and set(counts["intent"]) == set(Taxonomy.load(STARTER).names)
    assert counts.filter((pl.col("len") < 60) | (pl.col("family") < 8)).is_empty()


def test_families_join_the_languages(corpus: pl.DataFrame) -> None:
    """Situations were mirrored: a split by family must not train on one language's side of a test phrasing."""
    assert not corpus["family"].str.contains("/(en|zh)_").any()
    both = corpus.group_by("family").agg(pl.col("language").n_unique() == len(LANGUAGES))
    assert both["language"].mean() > 0.7
    assert (corpus["family"].str.split("/").list.first() == corpus["intent"].fill_null("out_of_scope")).all()


def test_no_two_examples_of_an_intent_are_alike(corpus: pl.DataFrame) -> None:
    for (intent,), rows in corpus.group_by("intent"):
        alike, one, other = most_alike(rows["text"].to_list())
        assert alike <= 0.6, f"{intent}: {one!r} and {other!r}"


def test_no_text_has_two_labels(corpus: pl.DataFrame) -> None:
    plain = corpus.select(pl.col("text").str.to_lowercase().str.replace_all(r"[\s\p{P}]+", ""))
    assert plain.filter(plain["text"].is_duplicated() & (plain["text"] != "")).is_empty()
    assert corpus["message_id"].is_unique().all()


def test_out_of_scope_in_both_languages(corpus: pl.DataFrame) -> None:
    outside, inside = corpus.filter(pl.col("intent").is_null()), corpus.drop_nulls("intent")
    assert all(outside.filter(language=language).height >= 300 for language in LANGUAGES)
    assert not set(outside["text"].str.to_lowercase()) & set(inside["text"].str.to_lowercase())


def test_addresses_are_invented(corpus: pl.DataFrame) -> None:
    found = corpus["text"].str.extract_all(r"@[\w-]+(\.[\w-]+)+").explode().drop_nulls()
    assert found.len() > 20 and set(found) == {"@example.com"}


def test_intents_can_be_answered() -> None:
    taxonomy = Taxonomy.load(STARTER)
    assert {intent.name for intent in taxonomy.intents if intent.protected} == PROTECTED
    for intent in taxonomy.intents:
        sample = {slot: f"<{slot}>" for slot in (*intent.needs, *intent.facts)}
        for language in LANGUAGES:
            filled = intent.replies.within(language).format(**sample)
            assert "{" not in filled and all(f"<{slot}>" in filled for slot in intent.slots)
        assert {*intent.facts} <= intent.slots and set(intent.questions) == {*intent.needs}
    assert not any(taxonomy[name].answer_alone for name in PROTECTED - {"refund_status"})


def test_a_message_keeps_its_id_under_another_label(folder: Path) -> None:
    before = messages(folder)
    for suffix in ("yaml", "csv"):
        (folder / f"cancel_order.{suffix}").rename(folder / f"call_off.{suffix}")
    after = messages(folder)
    assert set(before["message_id"]) == set(after["message_id"]) and set(after["intent"]) == {
        "call_off",
        "refund_status",
    }


def change(edit: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "cancel_order.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        edit(content)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(lambda c: c.update(answers_alone=True)), ["answers_alone: unknown key", "answer_alone"]),
        (change(lambda c: c["replies"].pop("zh")), ["replies.zh: missing; add it"]),
        (change(lambda c: c["replies"].update(fr="D'accord.")), ["replies.fr: unknown key"]),
        (change(lambda c: c["replies"].update(en="Gone: {parcel}.")), ["replies.en: nothing fills parcel", "facts"]),
        (change(lambda c: c["replies"].update(zh="好的。")), ["replies: order_number stands in one language only"]),
        (change(lambda c: c["replies"].update(en="{order_number.secret}")), ["replies.en", "no plain name"]),
        (change(lambda c: c["replies"].update(en="{order_number")), ["replies.en", "write slots as"]),
        (change(lambda c: c.update(questions={})), ["questions: none for order_number", "add one per language"]),
        (change(lambda c: c.update(needs=[])), ["replies.en: nothing fills order_number"]),
        (change(lambda c: c.update(needs=["order_no"])), ["needs.0", "'order_no'", "order_number, product"]),
        (change(lambda c: c["questions"]["order_number"].update(en="{x}?")), ["questions.order_number", "no slots"]),
        (change(lambda c: c.update(protected="perhaps")), ["protected", "'perhaps'"]),
        (change(lambda c: c.update(name="other")), ["name: unknown key"]),
    ],
)
def test_a_broken_intent_is_refused(folder: Path, spoil: Callable[[Path], None], words: list[str]) -> None:
    spoil(folder)
    with pytest.raises(DataError) as refused:
        Taxonomy.load(folder)
    assert all(word in str(refused.value) for word in ["cancel_order.yaml", *words]), str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cancel_order.yaml", "title: [", ["cancel_order.yaml: not valid YAML"]),
        ("cancel_order.yaml", "", ["cancel_order.yaml: expected keys"]),
        ("Cancel-It.yaml", "title: x", ["Cancel-It.yaml", "rename the file"]),
        ("out_of_scope.yaml", "title: x", ["out_of_scope.yaml", "keep out_of_scope.csv"]),
        ("cancel.csv", "text,language,family\na,en,b\n", ["no intent for cancel.csv", "cancel.yaml"]),
        ("cancel_order.csv", "text,lang,family\na,en,b\n", ["cancel_order.csv", "text,language,family", "text,lang"]),
        ("cancel_order.csv", "text,language,family\na,en,b\nb,de,c\n", ["row 3", "'de'", "en or zh"]),
        ("cancel_order.csv", "text,language,family\na,en,\n", ["row 2", "family is empty"]),
        (
            "cancel_order.csv",
            "text,language,family\nWhere is my refund?,en,b\n",
            ["cancel_order.csv row 2", "keep one"],
        ),
    ],
)
def test_a_broken_file_is_refused(folder: Path, name: str, content: str, words: list[str]) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as refused:
        messages(folder)
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_table_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "cancel_order.csv").write_bytes("text,language,family\n取消订单,zh,短\n".encode("gbk"))
    with pytest.raises(DataError, match="save it again as UTF-8"):
        messages(folder)


def test_no_folder_or_nothing_in_it(tmp_path: Path) -> None:
    for empty in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MissingTable, match="starter"):
            Taxonomy.load(empty)
