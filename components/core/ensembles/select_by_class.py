"""Selection within each class of groups: the single model that was best there on out-of-fold rows."""

from __future__ import annotations

from components.core.ensembles import PoolSpec
from components.core.ensembles.select import Select, SelectParams
from components.core.params import Params


class SelectByClass(Select):
    """Select, once for each value of the application's parts."""

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        stated = SelectParams.model_validate((params or SelectParams()).model_dump())
        super().__init__(spec, stated if stated.per else SelectParams(per=spec.parts))


ENSEMBLE = SelectByClass
