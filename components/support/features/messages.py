"""From shop tables to the messages that are learned from: masked, with a language, each text told once.

    text, language, intent (name), family, at (null: a written example, which has no time), origin

`origin` says who gave the label: "example" (the shop's taxonomy), "correction" (an agent, through feedback)
or "ticket" (the shop's own history). Where one text has several labels, the example outweighs the
correction, which outweighs the ticket; among equals the newest stays, and what has no order is left out.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping

import polars as pl

from components.core.errors import DataError
from components.core.tables import INSTANT
from components.support.taxonomy import OUT_OF_SCOPE
from components.support.understanding.language import language
from components.support.understanding.masking import mask

log = logging.getLogger(__name__)

CORRECTION = "correction"  # the channel of messages that came as corrections
ORIGINS = ("example", CORRECTION, "ticket")  # in the order in which they are believed
SCHEMA: dict[str, pl.DataType] = {
    "text": pl.String(), "language": pl.String(), "intent": pl.String(), "family": pl.String(), "at": INSTANT,
    "origin": pl.String(),
}  # fmt: skip


def labelled(tables: Mapping[str, pl.LazyFrame], n_messages: int) -> pl.DataFrame:
    """Every distinct text that has a label, by text; of the shop's own messages the newest `n_messages`.

    Raises DataError where fewer than two intents have examples.
    """
    parts = [_examples(tables["examples"])] if "examples" in tables else []
    if "messages" in tables:
        parts.append(_messages(tables["messages"], n_messages))
    rows = pl.concat(parts) if parts else pl.DataFrame(schema=SCHEMA)
    known = _known(rows.drop_nulls(["text", "intent"]), tables.get("intents"))
    found = _agreed(_with_language(_masked(known))).sort("text")
    intents = set(found["intent"].unique()) - {OUT_OF_SCOPE}
    if len(intents) < 2:
        raise DataError(
            f"expected messages of at least two intents, got {', '.join(intents) or 'none'}; add examples to the "
            "taxonomy (docs/data.md), or see in data/quality what was refused"
        )
    return found


def normal_form(text: str) -> str:
    """What texts that are alike share: their letters in lower case and full form, every digit as 0, nothing else.

    A text of symbols alone is its own form.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join("0" if char.isdigit() else char for char in plain if char.isalnum())
    return kept or text


def _examples(table: pl.LazyFrame) -> pl.DataFrame:
    """Written examples: they have no time, whenever they were written, since nobody sent them."""
    rows = table.select("text", "language", "intent", "family", at=pl.lit(None, INSTANT), origin=pl.lit(ORIGINS[0]))
    return rows.collect().cast(pl.Schema(SCHEMA))


def _messages(table: pl.LazyFrame, n_messages: int) -> pl.DataFrame:
    corrected = pl.col("channel").eq_missing(CORRECTION)
    origin = pl.when(corrected).then(pl.lit(CORRECTION)).otherwise(pl.lit(ORIGINS[2]))
    rows = table.select("text", "language", "intent", "family", "at", origin=origin).drop_nulls("intent")
    newest = rows.sort("at", *SCHEMA, descending=True, nulls_last=True).head(n_messages)
    return newest.collect().cast(pl.Schema(SCHEMA))


def _known(rows: pl.DataFrame, intents: pl.LazyFrame | None) -> pl.DataFrame:
    """Rows whose intent the shop's taxonomy has, where it has one."""
    if intents is None:
        return rows
    names = intents.select("intent").collect().to_series()
    kept = rows.filter(pl.col("intent").is_in(names.implode()) | (pl.col("intent") == OUT_OF_SCOPE))
    if kept.height < rows.height:
        log.warning("%d messages have intents that the taxonomy lacks and are left out", rows.height - kept.height)
    return kept


def _masked(rows: pl.DataFrame) -> pl.DataFrame:
    """Texts without personal data, once more: a correction may come unmasked, and the mask learns forms."""
    distinct = rows.select(pl.col("text").unique(maintain_order=True))
    told = distinct.with_columns(masked=pl.col("text").map_elements(lambda text: mask(text).text, pl.String))
    joined = rows.join(told, on="text", how="left", maintain_order="left")
    return joined.with_columns(text=pl.col("masked").str.strip_chars()).drop("masked").filter(pl.col("text") != "")


def _with_language(rows: pl.DataFrame) -> pl.DataFrame:
    """A language for the rows that say none."""
    read = pl.col("text").map_elements(lambda text: str(language(text)), pl.String, skip_nulls=False)
    silent = rows.filter(pl.col("language").is_null())
    if silent.is_empty():
        return rows
    return pl.concat([rows.drop_nulls("language"), silent.with_columns(language=read)])


def _agreed(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per text; the first telling of the label that is believed."""
    order = pl.col("origin").replace_strict({name: place for place, name in enumerate(ORIGINS)}, return_dtype=pl.Int8)
    ranked = rows.with_columns(place=order)
    best = ranked.filter(pl.col("place") == pl.col("place").min().over("text"))
    newest = best.filter(pl.col("at").eq_missing(pl.col("at").max().over("text")))
    torn = newest.filter(pl.col("intent").n_unique().over("text") > 1)["text"].unique()
    if len(torn):
        log.warning("%d texts have several labels that nothing orders and are left out", len(torn))
    decided = newest.filter(~pl.col("text").is_in(torn.implode())).unique("text").select("text", "intent")
    told = ranked.join(decided, on=["text", "intent"], how="semi").sort(
        "place", "at", "family", "language", nulls_last=True
    )
    return told.unique("text", keep="first", maintain_order=True).drop("place")
