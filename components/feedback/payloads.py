"""What events say beside their columns: JSON texts, read as one shape that has the fields of every kind."""

from __future__ import annotations

import polars as pl

_NUMBER, _TEXT = pl.Float64(), pl.String()
ITEM = pl.Struct({"product_id": _TEXT, "quantity": _NUMBER, "amount": _NUMBER})
SHOWN = pl.Struct({"key": _TEXT, "position": _NUMBER, "propensity": _NUMBER})
PAYLOAD = pl.Struct(
    {
        "product_id": _TEXT,
        "items": pl.List(ITEM),
        "store_id": _TEXT,
        "series_id": _TEXT,
        "period": _TEXT,
        "units": _NUMBER,
        "subject": _TEXT,
        "label": _TEXT,
        "by": _TEXT,
        "role": _TEXT,
        "shown": pl.List(SHOWN),
    }
)


def said() -> pl.Expr:
    """The column `payload` as PAYLOAD; null where it is no JSON object, or a field of it has another type."""
    return pl.col("payload").map_batches(read, return_dtype=PAYLOAD, is_elementwise=True)


def read(texts: pl.Series) -> pl.Series:
    """JSON objects as PAYLOAD, one for one; null where one cannot be read so.

    Polars reads all of a column or nothing, so one with broken texts is halved until they stand alone.
    """
    objects = texts.set(~texts.str.starts_with("{").fill_null(True), None)  # an empty text would vanish
    try:
        found = objects.str.json_decode(PAYLOAD)
        if len(found) == len(texts):  # "{},{}" would be read as two
            return found
    except pl.exceptions.ComputeError:
        pass
    if len(texts) == 1:
        return pl.Series(texts.name, [None], PAYLOAD)
    middle = len(texts) // 2
    return pl.concat([read(texts[:middle]), read(texts[middle:])])
