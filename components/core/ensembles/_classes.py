"""What ensembles over classifications share: calibrated members, a mixture, its temperature, and a detector.

Each member's log scores are divided by a temperature of its own (Guo et al. 2017), so that members speak the
same language; a subclass mixes them; the mixture gets a temperature too, since means of probabilities are too
timid; a detector (components/core/rejection.py) scores the reject row. Mixture, temperatures and detector learn
on the out-of-fold rows that `fit` is given. A member that scores no label of a group has no say there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from components.core.artifacts import read_json, write_json
from components.core.calibration import TINY, fit_temperature, log_softmax
from components.core.classification import reject_column, width_of
from components.core.ensembles import PoolSpec, labels, pool_arrays
from components.core.errors import DataError, ModelError, NotFitted
from components.core.params import Params
from components.core.rejection import Detector, evidence

log = logging.getLogger(__name__)

FILE = "classes.json"


class ClassParams(Params):
    expected_share: float = Field(0.15, gt=0, lt=1, description="Of what will be asked: how much is out of scope.")
    precision: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Of what is rejected: how much must be out of scope; null: most right decisions.",
    )
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Cube:
    """A pool's member scores by group, label and member; NaN where a member has none.

    scores   (n, n_labels, n_members) of the labels in scope
    rejects  (n, n_members) of the reject row; all NaN where the pool has no such row
    reject   where in a group the reject row stands, or None
    """

    scores: np.ndarray
    rejects: np.ndarray
    reject: int | None

    @classmethod
    def of(cls, members: np.ndarray, features: np.ndarray, offsets: np.ndarray, spec: PoolSpec) -> Self:
        """Members (n_rows, n_members) as a cube; raises DataError where groups differ in their rows."""
        width = width_of(offsets)
        cube = members.reshape(len(offsets) - 1, width, members.shape[1])
        reject = None if spec.reject is None else reject_column(spec.column(features, spec.reject), width)
        if reject is None:
            return cls(cube, np.full((len(cube), cube.shape[2]), np.nan, np.float32), None)
        if reject == width - 1:  # a view, where `delete` would copy
            return cls(cube[:, :-1], cube[:, -1], reject)
        return cls(np.delete(cube, reject, axis=1), cube[:, reject], reject)


class Classes:
    """Base of the ensembles over classifications; a subclass says how members are mixed."""

    params_class: ClassVar[type[Params]] = ClassParams

    def __init__(self, spec: PoolSpec, params: Params | None = None) -> None:
        if spec.unit != "probability":
            raise ModelError(
                f"{self.name()} combines labels' probabilities, and this application's scores are of unit {spec.unit}; "
                "name blend, select or stack instead"
            )
        self.spec = spec.only(spec.members)
        self.params: Any = self.params_class.model_validate((params or self.params_class()).model_dump())
        self._temperatures = np.zeros(0)  # of the members, then the mixture's; none before fit
        self._n_labels = 0
        self._detector = Detector()

    @classmethod
    def name(cls) -> str:
        """The file's stem, by which params.yaml knows it."""
        return cls.__module__.rpartition(".")[2]

    def fit(self, pool: pl.DataFrame, truth: pl.DataFrame) -> Self:
        members, features, offsets = pool_arrays(pool, self.spec)
        cube = Cube.of(members, features, offsets, self.spec)
        true, outside = _true(labels(pool, truth, self.spec.keys).reshape(len(cube.scores), -1), cube.reject)
        inside = true >= 0
        if not inside.any():
            raise DataError(f"{self.name()}: expected groups with a true label, got none; check the truth")
        self._n_labels = cube.scores.shape[1]
        own = [_temperature(column, true[inside]) for column in np.moveaxis(cube.scores[inside], 2, 0)]
        self._temperatures = np.array([*own, 1.0])
        logs = self._calibrated(cube.scores)
        heeded, learned = self._learn(logs[inside], true[inside])
        self._narrow(heeded)
        mixed = self._mix(logs[:, :, heeded])
        mixed[inside] = learned
        self._temperatures[-1] = fit_temperature(learned, true[inside])
        if cube.reject is not None:
            told = inside | outside
            heard = Cube(cube.scores[told][:, :, heeded], cube.rejects[told][:, heeded], cube.reject)
            self._fit_detector(heard, logs[told][:, :, heeded], mixed[told], true[told], outside[told])
        return self

    def _narrow(self, heeded: np.ndarray) -> None:
        """Keep these members only: the others need not ship."""
        self.spec = self.spec.only([self.spec.members[number] for number in heeded])
        self._temperatures = np.append(self._temperatures[heeded], 1.0)

    def _fit_detector(
        self, cube: Cube, logs: np.ndarray, mixed: np.ndarray, true: np.ndarray, outside: np.ndarray
    ) -> None:
        mixed = log_softmax(mixed / self._temperatures[-1])
        found, right = evidence(cube.scores, cube.rejects, logs, mixed), mixed.argmax(axis=1) == true
        share, precision = self.params.expected_share, self.params.precision
        self._detector = Detector().fit(found, outside, right, share, precision, self.params.seed)
        if not self._detector.learned:
            log.warning("%s: %d examples out of scope are too few to learn from", self.name(), outside.sum())

    def combine(self, members: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        cube = Cube.of(members, features, offsets, self.spec)
        chances, rejection = self.answer(cube.scores, cube.rejects)
        if cube.reject is None:
            return chances.ravel()
        return np.insert(chances, cube.reject, rejection, axis=1).ravel()

    def answer(self, scores: np.ndarray, rejects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, n_labels) that sum to 1, and the reject row's score (n,).

        `scores` (n, n_labels, n_members) and `rejects` (n, n_members) are the members' in the order of
        `spec.members`, NaN where there is none.
        """
        if not len(self._temperatures):
            raise NotFitted(f"{self.name()}: expected a fitted ensemble; call fit() or load() first")
        if scores.shape[1] != self._n_labels:
            raise DataError(
                f"{self.name()}: learned {self._n_labels} labels, the pool has {scores.shape[1]}; fit it again"
            )
        logs = self._calibrated(scores)
        mixed = log_softmax(self._mix(logs) / self._temperatures[-1])
        found = evidence(scores, rejects, logs, mixed) if self._detector.learned else np.zeros((len(scores), 0))
        return np.exp(mixed), self._detector.score(found)

    def _calibrated(self, scores: np.ndarray) -> np.ndarray:
        """Log probabilities (n, n_labels, n_members); a silent member's are those of the others' mean."""
        logs = log_softmax(scores / self._temperatures[:-1].astype(scores.dtype))
        silent = ~np.isfinite(scores).any(axis=1)
        if silent.any():
            spoken = ~silent[:, None, :]
            chances = np.where(spoken, np.exp(logs), 0).sum(axis=2) / np.maximum(spoken.sum(axis=2), 1)
            uniform = np.where(silent.all(axis=1)[:, None], 1 / logs.shape[1], chances)
            logs = np.where(spoken, logs, np.log(np.maximum(uniform, TINY))[:, :, None])
        return logs

    def save(self, folder: Path) -> None:
        if not len(self._temperatures):
            raise NotFitted(f"{self.name()}: expected a fitted ensemble; call fit() or load() first")
        self.spec.save(folder)
        self._detector.save(folder)
        kept = {"temperatures": self._temperatures.tolist(), "n_labels": self._n_labels, "mixture": self._kept()}
        write_json(folder / FILE, {"params": self.params.model_dump()} | kept)

    @classmethod
    def load(cls, folder: Path) -> Self:
        kept = read_json(folder / FILE)
        ensemble = cls(PoolSpec.load(folder), cls.params_class(**kept["params"]))
        ensemble._temperatures, ensemble._n_labels = np.array(kept["temperatures"]), kept["n_labels"]
        ensemble._restore(kept["mixture"])
        ensemble._detector = Detector.load(folder)
        return ensemble

    def weights(self) -> dict[str, float]:
        """What each member counts for; sums to 1."""
        raise NotImplementedError

    def _learn(self, logs: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Learn to mix log probabilities (n, n_labels, n_members) so that the true columns (n,) are likely.

        Returns the numbers of the members that are heeded, ascending, and the rows' mixture (n, n_labels) as it
        would be had they not been learned from.
        """
        raise NotImplementedError

    def _mix(self, logs: np.ndarray) -> np.ndarray:
        """Log scores (n, n_labels) of the heeded members' log probabilities (n, n_labels, n_heeded)."""
        raise NotImplementedError

    def _kept(self) -> Any:
        """What was learned about mixing, as JSON."""
        raise NotImplementedError

    def _restore(self, kept: Any) -> None:
        """Take up what `_kept` gave."""
        raise NotImplementedError


def _true(label: np.ndarray, reject: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The true label's number (n,), -1 where none in scope is known, and who is out of scope, of labels (n, width)."""
    told = label.max(axis=1) > 0
    outside = np.zeros(len(label), bool) if reject is None else label[:, reject] > 0
    inside = label if reject is None else np.delete(label, reject, axis=1)
    return np.where(told & ~outside, inside.argmax(axis=1), -1), outside


def _temperature(scores: np.ndarray, true: np.ndarray) -> float:
    """A member's temperature, of the groups (n, n_labels) in which it says something."""
    spoken = np.isfinite(scores).any(axis=1)
    return fit_temperature(scores[spoken], true[spoken])


def linear(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log of the weighted mean of probabilities: (n, n_labels) of (n, n_labels, n_members)."""
    mixed: np.ndarray = np.log(np.maximum(np.exp(logs) @ weights.astype(logs.dtype), TINY))
    return mixed


def likelihoods(logs: np.ndarray, true: np.ndarray) -> np.ndarray:
    """What each member gave the true label, (n, n_members), at least TINY."""
    found: np.ndarray = np.maximum(np.exp(logs[np.arange(len(true)), true]).astype(np.float64), TINY)
    return found
