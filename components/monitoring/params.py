"""When a live release is to be renewed: the block `watch.<application>` of params.yaml."""

from __future__ import annotations

from pydantic import Field

from components.core.params import Params


class WatchParams(Params):
    """Thresholds of one application; docs/operate.md says what each alarm means."""

    # amount and age: whether a retrain for their sake pays is for the retrain flow to say
    min_new_events: int = Field(10_000, ge=1, description="Events since the release's data ended that ask for one.")
    max_age_days: float = Field(28.0, gt=0, description="Days since the release's data ended that ask for one.")
    refresh_days: float = Field(7.0, gt=0, description="From then on the same weights get fresh histories, given")
    refresh_events: int = Field(100, ge=1, description="at least so many new events.")

    # drift of what comes in and of what is answered
    window_days: int = Field(7, ge=1, description="What is compared: the newest days. Whole weeks, or weekdays differ.")
    reference_days: int = Field(14, ge=1, description="What it is compared with: the last days of the release's data.")
    min_rows: int = Field(200, ge=1, description="Orders, or answers, on both sides; with fewer nothing is said.")
    psi: float = Field(0.25, gt=0, description="Population stability index from which a move matters.")
    alpha: float = Field(0.01, gt=0, lt=1, description="False discoveries allowed among the features called moved.")

    # live quality
    settle_hours: float = Field(24.0, gt=0, description="How long after an answer what follows counts for it.")
    min_answers: int = Field(300, ge=1, description="Observations that make a baseline.")
    tolerance: float = Field(0.02, ge=0, le=1, description="How much worse than the baseline is still well.")
    fresh_days: float = Field(7.0, gt=0, description="So often a second interval begins anew: the past hides nothing.")
    quality_alpha: float = Field(0.05, gt=0, lt=1, description="Chance that an interval is ever wrong.")
    answers_share: float = Field(1.0, gt=0, le=1, description="Customers whose answers are followed; less if busy.")

    # the challenger in canary
    margin: float = Field(0.01, ge=0, le=1, description="A challenger that is at most so much worse may go live.")
    canary_alpha: float = Field(0.05, gt=0, lt=1, description="Chance that a canary is ever judged wrongly.")
    canary_min_answers: int = Field(100, ge=1, description="Observations of each arm before it is judged.")
    max_days: float = Field(14.0, gt=0, description="A canary that is undecided by then is dismissed.")

    cool_down_hours: float = Field(24.0, ge=0, description="Before the same cause asks for a retrain again.")
    keep: int = Field(500, ge=1, description="Decisions that stay on disk.")
