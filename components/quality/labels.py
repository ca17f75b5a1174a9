"""What is known of the labels that rows may carry: which there are, and which are outvoted.

Two kinds of rows carry labels: messages of `examples` and `messages`, and corrections of feedback. A text (or the
subject of corrections) with several labels has the one that more than half of those who say anything say: of a
table of messages every row says something; of corrections every source, and that is what it said last. Where
there is no such label, all of them are outvoted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.core.tables import Table, identifier
from components.feedback.payloads import said

OUT_OF_SCOPE = "out_of_scope"  # a label that every taxonomy has
LABELLED: Mapping[str, str] = {"support": "intents"}  # applications that are corrected: the table of their labels


@dataclass(frozen=True, slots=True)
class Labels:
    """`known`: the labels that there are, None where nobody knows; `outvoted`: as `claim` writes them."""

    known: pl.Series | None = None
    outvoted: pl.Series | None = None


def labels_of(table: Table, data: Path) -> Labels:
    """What is known for one table of the shop; nothing where its rows carry no labels.

    Args:
        table: about to be validated.
        data: the folder with collected and accepted tables.
    """
    parts = sorted((data / "collected" / table.name).glob("part-*.parquet"))
    if "intent" in table.schema and "text" in table.schema:
        told = pl.scan_parquet(parts).select(what="text", label="intent", by=table.key[0])
    elif table.name == "feedback":
        told = _corrections(pl.scan_parquet(parts))
    else:
        return Labels()
    known = _known(data)
    return Labels(known, outvoted(told if known is None else told.filter(_is_known(pl.col("label"), known))))


def outvoted(told: pl.LazyFrame) -> pl.Series:
    """Claims that others outweigh, of `what`, `label` and `by` in the order in which they were told."""
    sound = told.drop_nulls(["what", "label"])
    torn = sound.group_by("what").agg(pl.col("label").n_unique()).filter(pl.col("label") > 1).select("what")
    rows = sound.join(torn, on="what", how="semi", maintain_order="left").collect(engine="streaming")
    last = rows.unique(["what", "by"], keep="last", maintain_order=True)
    votes = last.group_by("what", "label").len().with_columns(all=pl.col("len").sum().over("what"))
    winners = votes.filter(2 * pl.col("len") > pl.col("all")).select("what", "label")
    lost = rows.select("what", "label").unique().join(winners, on=["what", "label"], how="anti")
    return lost.sort("what", "label").select(claim(pl.col("what"), pl.col("label"))).to_series()


def claim(what: pl.Expr, label: pl.Expr) -> pl.Expr:
    """One text that stands for "this has that label"."""
    return pl.concat_str(what, label, separator="\0")


def with_label_conditions(part: pl.LazyFrame, labels: Labels) -> pl.LazyFrame:
    """`part` with the columns that suites of messages may name.

    intent_known        whether the taxonomy has the intent; true where a row has none, null without a taxonomy
    label_agreed        whether the text has no other label with more votes; null without an intent
    same_text_that_day  rows with the same text on the same day; null for rows without a time
    """
    intent = pl.col("intent")
    made = {
        "intent_known": intent.is_null() | _is_known(intent, labels.known),
        "label_agreed": _is_agreed(pl.col("text"), intent, labels.outvoted),
    }
    if "at" in part.collect_schema():
        same = pl.len().over("text", pl.col("at").dt.date())
        made["same_text_that_day"] = pl.when(pl.col("at").is_not_null()).then(same)
    return part.with_columns(**made)


def label_known(application: pl.Expr, label: pl.Expr, labels: Labels) -> pl.Expr:
    """Of corrections: whether there is such a label; null where the application has no list of them."""
    return pl.when(application.is_in(list(LABELLED))).then(_is_known(label, labels.known))


def label_agreed(application: pl.Expr, subject: pl.Expr, label: pl.Expr, labels: Labels) -> pl.Expr:
    """Of corrections: whether no other label has more votes."""
    return _is_agreed(_what(application, subject), label, labels.outvoted)


def _corrections(events: pl.LazyFrame) -> pl.LazyFrame:
    """what, label and by of all corrections, as they were received; who does not say who he is counts as one source."""
    rows = events.filter((pl.col("kind") == "correction") & pl.col("application").is_in(list(LABELLED)))
    fields = rows.with_columns(said=said()).sort("received_at", "event_id")
    subject, label, by = (pl.col("said").struct.field(name) for name in ("subject", "label", "by"))
    return fields.select(what=_what(pl.col("application"), subject), label=identifier(label), by=source(by))


def source(by: pl.Expr) -> pl.Expr:
    """Who says something; "Anna" and "anna " are one."""
    return by.str.strip_chars().str.to_lowercase()


def _what(application: pl.Expr, subject: pl.Expr) -> pl.Expr:
    return pl.concat_str(application, subject, separator="\0")


def _is_agreed(what: pl.Expr, label: pl.Expr, lost: pl.Series | None) -> pl.Expr:
    return ~claim(what, label).is_in((lost if lost is not None else pl.Series([], dtype=pl.String)).implode())


def _is_known(label: pl.Expr, known: pl.Series | None) -> pl.Expr:
    if known is None:
        return pl.lit(None, pl.Boolean)
    return label.is_in(known.implode()) | (label == OUT_OF_SCOPE)


def _known(data: Path) -> pl.Series | None:
    """The intents that were accepted; None where the shop has no such table."""
    parts = sorted((data / "accepted" / LABELLED["support"]).glob("part-*.parquet"))
    return pl.scan_parquet(parts).select("intent").collect().to_series() if parts else None
