"""The sequence networks: their loss against arithmetic, their data, and runs that are killed or shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional

from components.core.errors import DoesNotFit
from components.core.model import make_model, model_class
from components.recommendation.features.histories import Histories
from components.recommendation.network_data import (
    Negatives,
    Steps,
    Windows,
    draw_negatives,
    epoch_batches,
    last_windows,
    make_batch,
    spans,
    targets_of,
    training_windows,
)
from components.recommendation.network_habits import Habits, habits_of
from components.recommendation.network_loss import full_softmax, ndcg, sampled_softmax

NETWORKS = ("transformer", "gru", "cnn")
TINY = {"min_support": 1, "dim": 16, "batch": 16, "length": 8, "dropout": 0.1, "learning_rate": 0.01, "epochs": 4}
N_ITEMS = 12


def cycle(n_customers: int = 120, length: int = 12) -> pl.DataFrame:
    """Everybody buys item i + 1 after item i, round and round, one item a day."""
    start = np.random.default_rng(0).integers(0, N_ITEMS, n_customers)
    customer, place = np.repeat(np.arange(n_customers), length), np.tile(np.arange(length), n_customers)
    return pl.DataFrame(
        {
            "customer": customer.astype(np.int32),
            "basket": np.arange(len(customer), dtype=np.int32),
            "item": ((start[customer] + place) % N_ITEMS).astype(np.int32),
            "days_ago": (length - place).astype(np.float32),
            "weight": np.ones(len(customer), np.float32),
        }
    )


def days(items: list[int]) -> Histories:
    """One query: one basket of one item a day."""
    n = len(items)
    since = np.arange(n, 0, -1, dtype=np.float32)
    places = np.arange(n, dtype=np.int32)
    return Histories(np.array([0, n]), np.array(items, np.int32), since, np.ones(n, np.float32), places)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "how",
    [
        {"loss": "sampled", "n_negatives": 8},
        {"loss": "full", "target": "next_item", "habit_days": ()},
        {"loss": "full", "habit_days": (), "cosine_scale": 10.0, "max_logits": 50},
    ],
    ids=["sampled", "full", "cosine"],
)
def test_what_follows_is_learned_and_saved(name: str, how: dict[str, object], tmp_path: Path) -> None:
    model = make_model("recommendation", name, TINY | how).fit(cycle())
    asked = [[0, 1, 2], [5, 6], [10, 11, 0, 1]]
    assert [int(model.scores(days(items)).argmax()) for items in asked] == [3, 7, 2]
    model.save(tmp_path)
    loaded = model_class("recommendation", name).load(tmp_path)
    np.testing.assert_array_equal(loaded.scores(days([4, 5])), model.scores(days([4, 5])))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_sees_no_later_one(name: str) -> None:
    model = make_model("recommendation", name, TINY | {"epochs": 1}).fit(cycle())
    codes = np.arange(N_ITEMS, dtype=np.int32)
    vectors = []
    for items in ([1, 2, 3, 4, 5], [1, 2, 3, 9, 0]):
        steps = Steps.of(days(items), codes, by_basket=True)
        with torch.inference_mode():
            vectors.append(model._net(make_batch(steps, last_windows(steps, 8))))
    torch.testing.assert_close(vectors[0][:3], vectors[1][:3])
    assert not torch.allclose(vectors[0][3:], vectors[1][3:])


def test_answers_do_not_depend_on_company() -> None:
    model = make_model("recommendation", "transformer", TINY | {"epochs": 1}).fit(cycle())
    lone = [model.scores(days(items)) for items in ([1, 2, 3], [4])]
    both = Histories(
        np.array([0, 3, 3, 4]),
        np.array([1, 2, 3, 4], np.int32),
        np.array([3, 2, 1, 1], np.float32),
        np.ones(4, np.float32),
        np.array([0, 1, 2, 0], np.int32),
    )
    together = model.scores(both)
    np.testing.assert_allclose(together[[0, 2]], np.concatenate(lone), rtol=1e-4, atol=1e-5)
    assert np.isnan(together[1]).all()  # nothing bought, nothing said


def test_unsupported_and_unheard_items_are_left_out() -> None:
    rare = cycle().with_columns(item=pl.when(pl.int_range(pl.len()) == 5).then(15).otherwise("item").cast(pl.Int32))
    model = make_model("recommendation", "gru", TINY | {"min_support": 2, "epochs": 1}).fit(rare)
    scores = model.scores(days([15, 99, 3, 4]))
    assert np.isnan(scores[0, 12:]).all()
    assert np.isfinite(scores[0, :12]).all()
    np.testing.assert_array_equal(scores, model.scores(days([3, 4])))


def test_habits_are_the_same_when_learned_and_when_served() -> None:
    """At every step, what training looks up equals what a query cut off there would give."""
    random = np.random.default_rng(0)
    customers = [[random.choice(6, 3, replace=False).tolist() for _ in range(length)] for length in (1, 7, 4, 9)]
    histories = histories_from(customers)
    codes = np.array([0, 1, -1, 2, 3, 4], np.int32)
    steps = Steps.of(histories, codes, by_basket=True)
    habits = Habits.of(steps, (3.0, 20.0))
    for sequence, (start, stop) in enumerate(pairwise(steps.sequences)):
        own = histories.part(sequence, sequence + 1)
        for step in range(start, stop):
            now = steps.days[step + 1] if step + 1 < stop else 0.0
            before = own.days_ago >= steps.days[step]
            ago = own.days_ago[before] - now
            cut = Histories(np.array([0, before.sum()]), own.items[before], ago, ago, own.baskets[before])
            served = habits_of(cut, codes, (3.0, 20.0))
            expected = np.zeros((5, 3), np.float32)
            expected[served.items] = served.features
            learned = habits.features(np.full(5, step), np.arange(5))
            np.testing.assert_allclose(learned, expected, rtol=1e-5)
            batch = make_batch(steps, Windows(np.array([max(start, step - 1)]), np.array([step + 1])))
            owned = habits.owned(batch, np.array([True, True, False, True, True]))
            last = owned.steps == len(batch.steps) - 1
            assert set(owned.items[last]) == set(np.flatnonzero(expected[:, 0])) - {2}
            np.testing.assert_allclose(owned.features[last], expected[owned.items[last]], rtol=1e-5)


def test_staples_are_learned_as_habit() -> None:
    random = np.random.default_rng(0)
    own = [random.choice(N_ITEMS, 3, replace=False) for _ in range(60)]
    customers = [[random.choice(items, 2, replace=False).tolist() for _ in range(10)] for items in own]
    histories = histories_from(customers)
    train = pl.DataFrame(
        {
            "customer": histories.rows().astype(np.int32),
            "basket": (histories.rows() * 100 + histories.baskets).astype(np.int32),
            "item": histories.items,
            "days_ago": histories.days_ago,
            "weight": histories.weights,
        }
    )
    with_habits = make_model("recommendation", "gru", TINY | {"n_negatives": 8}).fit(train)
    best = np.argsort(-with_habits.scores(histories), axis=1)[:, :3]
    hits = [len(set(found) & set(items)) for found, items in zip(best, own, strict=True)]
    assert np.mean(hits) > 2.8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_full_softmax_is_cross_entropy_whatever_the_chunk(seed: int, max_logits: int) -> None:
    torch.manual_seed(seed)
    hidden, table = torch.randn(5, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True)
    rows, items = torch.tensor([0, 0, 1, 2, 3, 4]), torch.randint(0, 7, (6,))
    weights = torch.rand(6)
    expected = (weights * functional.cross_entropy((hidden @ table.T)[rows], items, reduction="none")).sum()
    wanted = torch.autograd.grad(expected * 2, [hidden, table])
    loss = full_softmax(hidden, table, rows, items, weights, max_logits)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss * 2, [hidden, table]), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_sampled_softmax_over_all_items_is_the_full_one() -> None:
    torch.manual_seed(0)
    hidden, table = torch.randn(4, 3), torch.randn(6, 3)
    rows, items, weights = torch.arange(4), torch.tensor([5, 0, 2, 2]), torch.full((4,), 0.25)
    everything = Negatives(np.arange(6), np.zeros(6, np.float32))
    sampled = sampled_softmax(hidden, lambda codes: table[codes], rows, items, weights, everything, 6)
    torch.testing.assert_close(sampled, full_softmax(hidden, table, rows, items, weights, 1000))


def test_negatives_come_as_often_as_they_claim() -> None:
    random = np.random.default_rng(0)
    shares = np.array([0.6, 0.2, 0.1, 0.1, 0.0, 0.0])
    seen, claimed = np.zeros(6), np.zeros(6)
    for _ in range(4000):
        targets = random.choice(6, 64, p=shares)
        drawn = draw_negatives(targets, shares, 4, random)
        seen[drawn.items] += 1
        claimed[drawn.items] = np.exp(drawn.log_chances)
    np.testing.assert_allclose(seen / 4000, claimed, atol=0.05)


def test_ndcg_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.1, 0.2, 0.3]])
    found = ndcg(scores, torch.tensor([1, 0, 2]), torch.tensor([0, 1, 1]), k=2)
    # Row 0: the one answer at rank 2. Row 1: one answer at rank 1, the other out of reach.
    expected = [1 / np.log2(3), 1 / (1 + 1 / np.log2(3))]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


histories_of = st.lists(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), max_size=9), min_size=1
)


def histories_from(customers: list[list[list[int]]]) -> Histories:
    """Customers given as lists of baskets, one basket a day."""
    events = [
        (row, number, len(baskets) - number, item)
        for row, baskets in enumerate(customers)
        for number, basket in enumerate(baskets)
        for item in basket
    ]
    rows, baskets, since, items = np.array(events, np.int32).reshape(-1, 4).T
    offsets = np.searchsorted(rows, np.arange(len(customers) + 1))
    return Histories(offsets, items, since.astype(np.float32), np.ones(len(items), np.float32), baskets)


def steps_from(customers: list[list[list[int]]]) -> Steps:
    """Their steps, where every item is known."""
    return Steps.of(histories_from(customers), np.arange(6, dtype=np.int32), by_basket=True)


@given(histories_of, st.integers(1, 4))
def test_every_transition_is_learned_once(customers: list[list[list[int]]], length: int) -> None:
    steps = steps_from(customers)
    windows = training_windows(steps, length, np.zeros(len(customers), bool))
    inputs, _, _ = spans(windows.starts, windows.stops - windows.starts)
    lasts = set(steps.sequences[1:] - 1)
    assert sorted(inputs) == [step for step in range(len(steps.gaps)) if step not in lasts]
    assert (windows.stops - windows.starts <= length).all()
    parts = epoch_batches(windows, 2, np.random.default_rng(0))
    assert sorted(start for part in parts for start in part.starts) == sorted(windows.starts)


def test_targets_are_the_next_basket_shared_out() -> None:
    steps = steps_from([[[0], [1, 2]], [[3, 4], [5], [0]]])
    batch = make_batch(steps, training_windows(steps, 4, np.zeros(2, bool)))
    rows, items, weights = targets_of(steps, batch)
    assert list(zip(rows, items, strict=True)) == [(0, 1), (0, 2), (1, 5), (2, 0)]
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 1 / 3, 1 / 3])


def test_held_out_steps_are_not_trained_on() -> None:
    steps = steps_from([[[0], [1], [2]], [[3], [4], [5]]])
    windows = training_windows(steps, 4, np.array([True, False]))
    batch = make_batch(steps, windows)
    assert targets_of(steps, batch)[1].tolist() == [1, 4, 5]


def test_steps_aside_with_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MEMORY_GIB", "0.00001")
    with pytest.raises(DoesNotFit, match=r"12 items.*min_support.*GiB"):
        make_model("recommendation", "cnn", TINY).fit(cycle())
    monkeypatch.delenv("SHOP_MEMORY_GIB")
    with pytest.raises(DoesNotFit, match="got 0 of 12"):
        make_model("recommendation", "cnn", TINY | {"min_support": 10_000}).fit(cycle())
    with pytest.raises(DoesNotFit, match="customers with two baskets"):
        make_model("recommendation", "cnn", TINY).fit(cycle(length=1))


def test_time_is_bounded_and_precision_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PRECISION", "bf16-mixed")
    bounded = TINY | {"epochs": 100_000, "patience": 100_000, "warm_up_share": 0, "max_minutes": 1 / 60}
    model = make_model("recommendation", "gru", bounded).fit(cycle())
    assert int(model.scores(days([1, 2, 3])).argmax()) == 4


def run_script(script: str, *arguments: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python script in a process of its own, as a stage is."""
    body = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{script}"
    place = arguments[0] / "script.py"
    place.write_text(body)
    return subprocess.run(
        [sys.executable, str(place), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


FIT = """
from pathlib import Path
from components.core.model import make_model
from test_network import TINY, cycle

def main():
    folder = Path(sys.argv[1])
    model = make_model("recommendation", "transformer", TINY | {"epochs": 5, "patience": 5})
    model.fit(cycle(), scratch=folder / "scratch").save(folder / "model")

"""
KILLED_IN_THE_FOURTH_EPOCH = """
    import os, signal
    from components.recommendation.network_training import Training
    usual = Training.training_step
    def step(self, lesson, number):
        if self.current_epoch == 3 and number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(self, lesson, number)
    Training.training_step = step
    main()
"""


@pytest.mark.slow
def test_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    guard = 'if __name__ == "__main__":\n'
    assert run_script(FIT + guard + "    main()\n", whole).returncode == 0
    assert run_script(FIT + guard + KILLED_IN_THE_FOURTH_EPOCH, killed).returncode == -signal.SIGKILL
    assert not (killed / "model").exists()
    assert list((killed / "scratch").rglob("last.ckpt"))
    resumed = run_script(FIT + guard + "    import logging; logging.basicConfig(level=20); main()\n", killed)
    assert resumed.returncode == 0
    assert "resuming from" in resumed.stderr
    assert "epoch 3:" not in resumed.stderr  # the three whole epochs were not trained again
    first, second = (load_file(folder / "model" / "net.safetensors") for folder in (whole, killed))
    for weight in first:
        torch.testing.assert_close(second[weight], first[weight], rtol=0, atol=0)
    assert not list((killed / "scratch").iterdir())


TWO_PROCESSES = """
from pathlib import Path
import torch.distributed
from components.core.model import make_model
from components.recommendation.network_training import Training
from test_network import TINY, cycle, days

class Watched(Training):
    def on_train_start(self):
        super().on_train_start()
        place = Path(sys.argv[1]) / f"rank_{self.global_rank}_of_{self.trainer.world_size}"
        place.write_text(torch.distributed.get_backend())

def main():
    from components.recommendation import network_training
    network_training.Training = Watched
    model = make_model("recommendation", "transformer", TINY).fit(cycle())
    print("best", int(model.scores(days([1, 2, 3])).argmax()))

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    ran = run_script(TWO_PROCESSES, tmp_path, SHOP_STRATEGY="ddp", SHOP_ACCELERATOR="cpu", SHOP_DEVICES="2")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("best ")[1:] == ["4\n"]  # one process goes on after the fit
    ranks = {path.name: path.read_text() for path in tmp_path.glob("rank_*")}
    assert ranks == {"rank_0_of_2": "gloo", "rank_1_of_2": "gloo"}


def test_answering_needs_no_lightning(tmp_path: Path) -> None:
    make_model("recommendation", "gru", TINY | {"epochs": 1}).fit(cycle()).save(tmp_path / "model")
    script = """
from pathlib import Path
from components.core.model import model_class
from test_network import days
model_class("recommendation", "gru").load(Path(sys.argv[1]) / "model").scores(days([1, 2]))
assert "pytorch_lightning" not in sys.modules
"""
    ran = run_script(script, tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_only_new_items_are_asked_and_answered_where_repeats_are_left_out() -> None:
    steps = steps_from([[[0], [0, 1], [1, 2]], [[1], [2]]]).only_new()
    windows = training_windows(steps, 4, np.zeros(2, bool))
    _, items, weights = targets_of(steps, make_batch(steps, windows))
    learned = {(int(item), round(float(weight), 3)) for item, weight in zip(items, weights, strict=True) if weight > 0}
    assert learned == {(1, 0.333), (2, 0.333)}  # each of the three steps counts a third
    model = make_model("recommendation", "gru", TINY | {"only_new": True, "epochs": 1}).fit(cycle())
    assert np.isfinite(model.scores(days([1, 2]))).all()
