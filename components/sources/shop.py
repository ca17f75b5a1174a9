"""The `sources` block of params.yaml: for each table where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field, RootModel, ValidationError

from components.core.errors import MissingTable, ParamsError
from components.core.tables import TABLES, table_named
from components.sources.completejourney import CompleteJourney, CompleteJourneyParams
from components.sources.feedback import Feedback, FeedbackParams
from components.sources.folder import Folder, FolderParams
from components.sources.source import Source
from components.sources.sql import Sql, SqlParams
from components.sources.taxonomy import Taxonomy, TaxonomyParams

AnyParams = CompleteJourneyParams | FeedbackParams | FolderParams | SqlParams | TaxonomyParams
AnySource = Annotated[AnyParams, Field(discriminator="kind")]


class _Choice(RootModel[AnySource]):
    """One table's block; `kind` decides which other names it may have."""


def source_of(table: str, params: Mapping[str, Any]) -> Source:
    """The source that params.yaml names for `table`.

    Args:
        table: name of a canonical table.
        params: the whole of params.yaml.

    Raises:
        MissingTable: the block `sources` does not name the table.
        ParamsError: it names it in a way we do not know.
    """
    table_named(table)
    blocks = params.get("sources") or {}
    unknown = sorted(set(blocks) - set(TABLES))
    if unknown:
        raise ParamsError(f"params.yaml: sources.{unknown[0]}: expected one of {', '.join(TABLES)}; correct the name")
    if blocks.get(table) is None:
        raise MissingTable(f"{table}: not named under sources in params.yaml")
    return _made(table, _choice(table, blocks[table]), str(params.get("timezone", "UTC")))


def _choice(table: str, block: Any) -> AnyParams:
    try:
        return _Choice.model_validate(block).root
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'kind'}: {problem['msg']}" for problem in error.errors()
        )
        raise ParamsError(
            f"params.yaml: sources.{table}: {problems}. "
            "Known kinds: completejourney, feedback, folder, sql, taxonomy (docs/data.md)"
        ) from None


def _made(table: str, chosen: AnyParams, timezone: str) -> Source:
    match chosen:
        case CompleteJourneyParams():
            return cast(Source, CompleteJourney(table, chosen))
        case FeedbackParams():
            return cast(Source, Feedback(table))
        case FolderParams():
            return cast(Source, Folder(table, chosen, timezone))
        case SqlParams():
            return cast(Source, Sql(table, chosen, timezone))
        case TaxonomyParams():
            return cast(Source, Taxonomy(table, chosen))
