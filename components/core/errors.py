"""Everything this project raises on purpose.

    ShopError
    ├── ParamsError          params.yaml or the environment says something we do not know
    ├── DataError            a table is not what its name promises
    │   ├── MissingTable     a source has nothing under that name
    │   ├── UnknownName      a request names what the release does not know; the nearest are named
    │   └── QualityFailure   a critical expectation failed: the run must stop
    ├── ModelError
    │   ├── NotFitted        predict or save before fit or load
    │   └── DoesNotFit       the model needs more catalogue or memory than it may have
    ├── ArtifactError        a file in an artefact is missing, altered or of another version
    ├── FeedbackError        the store of feedback cannot be read or written; nothing was acknowledged
    └── ReleaseError
        └── ReleaseRefused   the candidate lost the duel; the live release stays

A message says what was expected, what came, and the remedy, in that order.
Entry points print it as one line and exit 1; anything that is not a ShopError
is a defect and keeps its traceback.
"""


class ShopError(Exception):
    """Base of every error that a user can act upon."""


class ParamsError(ShopError):
    """A parameter or environment variable is unknown or out of range."""


class DataError(ShopError):
    """A table does not hold what its name promises."""


class MissingTable(DataError):
    """A source has no table of that name."""


class UnknownName(DataError):
    """The release knows nothing of that name; `nearest` are (id, title) like it."""

    def __init__(self, field: str, problem: str, remedy: str, nearest: list[tuple[str, str]]) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.nearest = nearest


class QualityFailure(DataError):
    """A critical expectation failed, so nothing downstream may run."""


class ModelError(ShopError):
    """A model cannot do what was asked of it."""


class NotFitted(ModelError):
    """The model was used before fit() or load()."""


class DoesNotFit(ModelError):
    """The model would need more than it may have; it steps aside and the rest go on."""


class ArtifactError(ShopError):
    """An artefact is incomplete, altered or of a version that we cannot read."""


class FeedbackError(ShopError):
    """The store of feedback cannot be opened, read or written; what was handed in is not acknowledged."""


class ReleaseError(ShopError):
    """A release cannot be made, found or moved."""


class ReleaseRefused(ReleaseError):
    """The candidate was judged and lost; the live release stays."""
