"""What may be shown to who asks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from components.core.errors import DataError
from components.recommendation.answer.ask import Ask
from components.recommendation.answer.catalogue import Catalogue


def allowed_by(ask: Ask, catalogue: Catalogue) -> Callable[[np.ndarray], np.ndarray]:
    """A mask over item codes; raises DataError where a category or department is not in the catalogue."""
    shown = catalogue.available
    blocked = catalogue.codes((*ask.recent, *ask.basket, *ask.exclude))[0]
    wanted = []
    if ask.categories:
        wanted.append(_named(catalogue.category_codes, ask.categories, "categories"))
    if ask.departments:
        wanted.append(_named(catalogue.department_codes, ask.departments, "departments"))

    def allowed(codes: np.ndarray) -> np.ndarray:
        mask = shown[codes]
        if len(blocked):
            mask = mask & ~np.isin(codes, blocked)
        for group in wanted:
            mask = mask & np.isin(codes, group)
        return mask

    return allowed


def _named(groups: dict[str, np.ndarray], names: tuple[str, ...], field: str) -> np.ndarray:
    """Codes of all items in the named groups; raises DataError with the nearest names where one is unknown."""
    import difflib

    found = []
    for name in names:
        if name.lower() not in groups:
            near = difflib.get_close_matches(name.lower(), groups, n=3, cutoff=0.5) or sorted(groups)[:3]
            raise DataError(f"filters.{field}: expected a name in the catalogue, got {name!r}; try {', '.join(near)}")
        found.append(groups[name.lower()])
    return np.concatenate(found)
