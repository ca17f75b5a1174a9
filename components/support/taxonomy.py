"""What customers may want, as data: a folder with `<intent>.yaml`, `<intent>.csv` and `out_of_scope.csv`.

`Taxonomy.load(folder)` reads the intents and refuses what could not be answered later: a reply with a slot
that nothing fills, a question that is missing, a language that was forgotten. `messages(folder)` reads the
examples. The starter folder beside this file belongs to no shop; a shop replaces it with its own.
"""

from __future__ import annotations

import hashlib
import io
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from components.core.errors import DataError, MissingTable

Language = Literal["en", "zh"]
Entity = Literal[
    "order_number",
    "product",
    "amount",
    "date",
    "email",
    "phone",
    "address",
    "size",
    "coupon_code",
    "payment_method",
    "invoice_number",
    "gift_card_number",
    "quantity",
]
LANGUAGES: tuple[Language, ...] = get_args(Language)
STARTER = Path(__file__).parent / "starter"
OUT_OF_SCOPE = "out_of_scope"
COLUMNS = ("text", "language", "family")  # of every CSV file
NAME = r"^[a-z][a-z0-9_]*$"  # of intents and slots: they become labels, file names and keys


class Bilingual(BaseModel):
    """The same words in every language that the shop answers in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def within(self, language: Language) -> str:
        """The words of `language`."""
        return self.en if language == "en" else self.zh


class Intent(BaseModel):
    """One thing that customers want; the file's stem is its name and the label of its examples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME)
    title: Bilingual
    description: str = Field(min_length=1)
    answer_alone: bool  # without a person
    protected: bool  # no release may be worse at it than the one before, beyond slack
    needs: tuple[Entity, ...]  # what the message must tell before there is an answer
    replies: Bilingual
    questions: Mapping[Entity, Bilingual]  # what to ask when a need is missing
    facts: tuple[str, ...]  # what the shop's own systems must supply

    @property
    def slots(self) -> frozenset[str]:
        """Names in braces that a reply fills; the same in every language."""
        return frozenset(_slots(self.replies.en, "replies.en"))

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        found = {language: _slots(self.replies.within(language), f"replies.{language}") for language in LANGUAGES}
        for language, slots in found.items():
            if unknown := slots - {*self.needs, *self.facts}:
                raise ValueError(
                    f"replies.{language}: nothing fills {_listed(unknown)}; name it in needs (the message tells it) "
                    "or in facts (the shop supplies it), or take it out of the reply"
                )
        if odd := found["en"] ^ found["zh"]:
            raise ValueError(f"replies: {_listed(odd)} stands in one language only; use the same slots in both")
        return self

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if missing := {*self.needs} - {*self.questions}:
            raise ValueError(f"questions: none for {_listed(missing)}, which stands in needs; add one per language")
        if idle := {*self.questions} - {*self.needs}:
            raise ValueError(f"questions: {_listed(idle)} is never asked; add it to needs or delete the question")
        for need, question in self.questions.items():
            if any(_slots(question.within(language), f"questions.{need}.{language}") for language in LANGUAGES):
                raise ValueError(f"questions.{need}: a question has no slots; write it without braces")
        return self


class Taxonomy(BaseModel):
    """Every intent of one folder, by name in alphabetical order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    intents: tuple[Intent, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises DataError (MissingTable where there is no such folder) with file, field and remedy."""
        if not folder.is_dir():
            raise MissingTable(f"{folder}: expected a folder of intents; give the path of one, or use {STARTER}")
        files = sorted(folder.glob("*.yaml"))
        if not files:
            raise MissingTable(f"{folder}: expected one <intent>.yaml per intent, found none; start from {STARTER}")
        return cls(intents=tuple(_intent(path) for path in files))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(intent.name for intent in self.intents)

    def __getitem__(self, name: str) -> Intent:
        """Raises KeyError for a name that is not in `names`, `out_of_scope` included."""
        for intent in self.intents:
            if intent.name == name:
                return intent
        raise KeyError(f"no intent {name!r}; known: {', '.join(self.names)}")


def messages(folder: Path) -> pl.DataFrame:
    """The examples: message_id, text, language, intent (null when out of scope), family.

    Rows come by intent, out of scope last, in the order of the files. `message_id` depends on language and
    text alone, so it outlives a change of label. `family` is `<intent>/<slug>` without the language that the
    slug may start with: phrasings that mirror each other in two languages are one group to a split. An intent
    may lack examples (a shop's own tickets may bring them). Raises DataError with file, row and remedy.
    """
    names = Taxonomy.load(folder).names
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if stray := set(files) - {*names, OUT_OF_SCOPE}:
        raise DataError(
            f"{folder}: no intent for {_listed(stray)}.csv; add {sorted(stray)[0]}.yaml or move the examples"
        )
    tables = [_examples(files[name], name) for name in (*names, OUT_OF_SCOPE) if name in files]
    if not tables:
        raise MissingTable(f"{folder}: expected examples in <intent>.csv, found none; start from {STARTER}")
    return _told_once(pl.concat(tables), folder).drop("file", "row")


def _intent(path: Path) -> Intent:
    if path.stem == OUT_OF_SCOPE:
        raise DataError(f"{path.name}: what is out of scope is no intent; delete this file and keep {OUT_OF_SCOPE}.csv")
    try:
        loaded = yaml.safe_load(_decoded(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}; correct the line") from None
    if isinstance(loaded, dict) and "name" in loaded:
        raise DataError(f"{path.name}: name: unknown key; an intent is named by its file, so delete the key")
    if not isinstance(loaded, dict):
        raise DataError(
            f"{path.name}: expected keys such as title and replies, found {type(loaded).__name__}; add them"
        )
    try:
        return Intent.model_validate({**loaded, "name": path.stem})
    except ValidationError as error:
        raise DataError(f"{path.name}: {'; '.join(_problem(one) for one in error.errors())}") from None


def _problem(error: ErrorDetails) -> str:
    """One mistake as field, what is wrong, and the remedy."""
    field = ".".join(str(part) for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "extra_forbidden":
            known = ", ".join(key for key in Intent.model_fields if key != "name")
            return f"{field}: unknown key; delete it or correct its name (an intent has {known}; words have en and zh)"
        case "missing":
            return f"{field}: missing; add it"
        case "literal_error":
            return f"{field}: no entity {error['input']!r} is recognised; use one of {', '.join(get_args(Entity))}"
        case "value_error":
            return error["msg"].removeprefix("Value error, ")
        case "string_pattern_mismatch":
            return f"{field}: {error['input']!r} should be lower-case letters, digits and underscores; rename the file"
        case _:
            return f"{field}: {error['msg']}, found {error['input']!r}; correct it"


def _slots(text: str, field: str) -> set[str]:
    """Names in braces; ValueError for braces that are anything else."""
    try:
        parts = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"{field}: {error}; write slots as {{name}}, and no other braces") from None
    for _, name, spec, conversion in parts:
        if spec or conversion or not str(name).isidentifier():  # {order.secret} would reach into objects
            raise ValueError(f"{field}: {{{name}}} is no plain name; write slots as {{order_number}}")
    return {str(name) for _, name, _, _ in parts}


def _examples(path: Path, intent: str) -> pl.DataFrame:
    """One file, with the file and row that a message about it names."""
    try:
        read = pl.read_csv(io.StringIO(_decoded(path)), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path.name}: not a CSV table ({str(error).splitlines()[0]}); quote texts with commas"
        ) from None
    if tuple(read.columns) != COLUMNS:
        raise DataError(
            f"{path.name}: expected the columns {','.join(COLUMNS)}, found {','.join(read.columns)}; rename them"
        )
    rows = read.with_columns(pl.all().fill_null("").str.strip_chars()).with_row_index("row", 2)
    for problem in _faults(rows, path.name):
        raise DataError(problem)
    slug = pl.col("family").str.strip_prefix(pl.concat_str("language", pl.lit("_")))
    return rows.select(
        message_id=pl.concat_str("language", pl.lit("\0"), "text").map_elements(_digest, pl.String),
        text="text",
        language="language",
        intent=pl.lit(None if intent == OUT_OF_SCOPE else intent, pl.String),
        family=pl.concat_str(pl.lit(f"{intent}/"), slug),
        file=pl.lit(path.name),
        row="row",
    )


def _faults(rows: pl.DataFrame, file: str) -> Iterator[str]:
    for column in COLUMNS:
        for row in rows.filter(pl.col(column) == "")["row"].head(1):
            yield f"{file}: row {row}: {column} is empty; fill it in or delete the row"
    for row, language in rows.filter(~pl.col("language").is_in(LANGUAGES)).select("row", "language").head(1).rows():
        yield f"{file}: row {row}: language {language!r} is unknown; use {' or '.join(LANGUAGES)}"


def _told_once(rows: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """`rows`, unless a text stands twice: two labels would contradict each other, two folds would leak."""
    twice = rows.filter(pl.col("message_id").is_duplicated()).sort("message_id", maintain_order=True).head(2)
    if twice.height:
        places = " and ".join(f"{file} row {row}" for file, row in twice.select("file", "row").rows())
        raise DataError(f"{folder}: {twice['text'][0]!r} stands in {places}; keep one of them")
    return rows


def _decoded(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: not UTF-8 text; save it again as UTF-8") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _listed(names: set[Any] | frozenset[Any]) -> str:
    return ", ".join(sorted(names))
