"""Rules before a release: floors per language, calibration, what is out of scope, protected intents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from components.core.artifacts import read_json
from components.core.gate import Gate
from components.core.params import Params, parse
from components.support.features.panel import OUT_OF_SCOPE
from components.support.taxonomy import LANGUAGES

# The floors of accuracy and calibration stop a broken model; the starter's, on phrasings of which no other is in
# train, reaches about .7, and six hundred messages alone make an expected calibration error of about .03.
NEVER = float("inf")  # a slack: only the floor speaks


class GateParams(Params):
    """Rules before a release; slack is how much worse than the live release it may be."""

    accuracy_floor: float = Field(0.6, ge=0, le=1, description="Right decisions, out of scope included.")
    language_floor: float = Field(0.55, ge=0, le=1, description="The same within each language of the shop.")
    languages: tuple[str, ...] = Field(LANGUAGES, description="Those with a floor; one without test messages has none.")
    slack: float = Field(0.01, ge=0, description="Accuracy that may be lost against the live release.")
    language_slack: float = Field(0.02, ge=0, description="The same within one language.")
    ece: float = Field(0.05, gt=0, description="Expected calibration error of the likeliest intent, at most.")
    oos_floor: float = Field(0.5, ge=0, le=1, description="Share of what is out of scope that is recognised.")
    oos_slack: float = Field(0.05, ge=0, description="The same that may be lost against the live release.")
    protected: tuple[str, ...] | None = Field(
        None, description="Intents at which no release may be worse; null: those that the shop's taxonomy protects."
    )
    protected_slack: float = Field(
        0.1, ge=0, description="Accuracy within one of them: of twenty test messages two more may be missed."
    )
    ms_per_query: float = Field(40.0, gt=0, description="Processor time of one message, answered; 95 of 100 take less.")
    max_mb: float = Field(400.0, gt=0)
    slower: float = Field(3.0, ge=1, description="At most so many times the live release's processor time, and 5 ms.")
    larger: float = Field(2.0, ge=1, description="At most so many times the live release's size, and 50 MB.")


def gates(values: Mapping[str, Any], features: Path) -> Sequence[Gate]:
    """Floors and slacks as rules."""
    chosen = parse(GateParams, dict(values), "support.gates")
    guarded = protected_intents(features) if chosen.protected is None else chosen.protected
    return [
        Gate("accuracy", "higher", chosen.accuracy_floor, chosen.slack),
        *[Gate(f"language={name}/accuracy", "higher", chosen.language_floor, chosen.language_slack)
          for name in chosen.languages],
        Gate("ece", "lower", chosen.ece, NEVER),
        Gate(f"intent={OUT_OF_SCOPE}/accuracy", "higher", chosen.oos_floor, chosen.oos_slack),
        *[Gate(f"intent={name}/accuracy", "higher", None, chosen.protected_slack) for name in guarded],
        Gate("ms_per_query", "lower", chosen.ms_per_query, 5.0, share=chosen.slower - 1),
        Gate("mb", "lower", chosen.max_mb, 50.0, share=chosen.larger - 1),
    ]  # fmt: skip


def protected_intents(features: Path) -> tuple[str, ...]:
    """Those of the taxonomy that featurise wrote; none where the shop has told of no intents."""
    file = features / "taxonomy.json"
    intents = read_json(file)["intents"] if file.is_file() else []
    return tuple(sorted(intent["name"] for intent in intents if intent["protected"]))
