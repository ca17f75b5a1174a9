"""LightGBM as this project uses it: the parameters that every booster has, and settings that repeat bit for bit."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from components.core.params import Params

Count = Annotated[int, Field(ge=1)]
Leaves = Annotated[int, Field(ge=2)]
Part = Annotated[float, Field(gt=0, le=1)]


class BoostingParams(Params):
    """What each booster names its own defaults for."""

    n_trees: Count
    n_leaves: Leaves
    learning_rate: Part
    min_rows_per_leaf: Count
    feature_fraction: Part
    row_fraction: Part
    seed: int = 0


def settings(params: BoostingParams, l2: float, **more: Any) -> dict[str, Any]:
    """LightGBM's names for these numbers; `more` (objective, bins, ...) is in LightGBM's own words and wins."""
    return {
        "learning_rate": params.learning_rate,
        "num_leaves": params.n_leaves,
        "min_data_in_leaf": params.min_rows_per_leaf,
        "feature_fraction": params.feature_fraction,
        "bagging_fraction": params.row_fraction,
        "bagging_freq": 1,
        "lambda_l2": l2,
        "seed": params.seed,
        "deterministic": True,
        "verbosity": -1,
    } | more
