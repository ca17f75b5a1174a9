"""The duel, the verdict, the pointer: nothing goes live unjudged, and nothing is ever half live."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from components import releases, sealed
from components.audit import read_audit
from components.core.application import load_application
from components.core.artifacts import seal, write_json
from components.core.bundle import FORMAT
from components.core.errors import ReleaseError, ReleaseRefused, ShopError
from components.core.model import make_model
from components.recommendation.application import APPLICATION
from components.recommendation.features.folds import featurise
from components.recommendation.recode import recode
from flows.crew import only_run
from flows.duel import Judgement, Rows, against_live, duel, show
from flows.promotion import Place, gain
from flows.release import main, release, rollback

ROOT = Path(__file__).parents[2]
NAME = "recommendation"
AS_OF = datetime.fromisoformat("2025-07-01T00:00:00+00:00")
PARAMS = "recommendation:\n  gates: {ndcg_floor: %s, slack: %s, slice_slack: 1.0, ms_per_query: 1000}\n"


@pytest.fixture(scope="module")
def features(tiny: dict[str, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("features")
    settings = {"split": {"horizon_days": 14, "oof_folds": 1, "anonymous_queries": 5}, "features": {}}
    featurise({name: table.lazy() for name, table in tiny.items()}, AS_OF.isoformat(), settings, out)
    return out


@pytest.fixture
def shop(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Path:
    """A project in which only the release is left to do; low floors, no slack."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / NAME).mkdir(parents=True)
    (tmp_path / "data" / NAME / "features").symlink_to(features)
    write_params(tmp_path)
    return tmp_path


def write_params(shop: Path, floor: float = 0.0, slack: float = 0.0) -> None:
    (shop / "params.yaml").write_text(PARAMS % (floor, slack))


def package(shop: Path, model: str, days: int = 0) -> str:
    """A bundle of one model, as the stage package writes it; returns the version it will have."""
    features, bundle = shop / "data" / NAME / "features", shop / "data" / NAME / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    train = pl.read_parquet(features / "test" / "train.parquet")
    make_model(NAME, model, {}).fit(train).save(bundle / "members" / model)
    shipped = {"name": model, "kind": "single", "reason": "test"}
    manifest = {"format": FORMAT, "application": NAME, "shipped": shipped, "members": [model], "params": {}}
    write_json(bundle / "manifest.json", manifest | {"as_of": (AS_OF + timedelta(days=days)).isoformat()})
    load_application(NAME).package(features, bundle)
    seal(bundle)
    return sealed.version_of(bundle)


def verdict_of(shop: Path, version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shop / "shop" / "verdicts" / NAME / f"{version}.json").read_text())
    return found


def audit(shop: Path) -> list[tuple[str, str]]:
    lines = (shop / "shop" / "audit.jsonl").read_text().splitlines()
    return [(entry["what"], entry["to"]) for entry in map(json.loads, lines)]


def bento_labels(version: str) -> dict[str, str] | None:
    import bentoml

    found = [model for model in bentoml.models.list() if str(model.tag) == f"{NAME}:{version}"]
    return dict(found[0].info.labels) if found else None


def test_the_first_release_needs_only_the_floors(shop: Path) -> None:
    version = package(shop, "popularity")
    result = release(NAME, "first")
    assert (result.version, result.moved) == (version, True)
    assert releases.live(NAME) == version
    verdict = verdict_of(shop, version)
    assert verdict["passed"] and verdict["champion"] is None and verdict["reasons"]
    assert audit(shop) == [("released", version)]
    labels = bento_labels(version)
    assert labels is not None and {"git", "dvc", "application"} <= labels.keys()


def test_the_same_bundle_again_is_nothing_to_do(shop: Path) -> None:
    version = package(shop, "popularity")
    release(NAME, "first")
    pointer = releases.pointer_path(NAME).read_bytes()
    again = release(NAME, "second")
    assert (again.version, again.moved) == (version, False) and "nothing to do" in again.words
    assert releases.pointer_path(NAME).read_bytes() == pointer
    assert audit(shop) == [("released", version)]


def test_a_better_candidate_replaces_the_champion_and_a_worse_one_is_refused(shop: Path) -> None:
    worse = package(shop, "popularity")
    release(NAME, "first")
    better = package(shop, "personal")
    assert release(NAME, "second").version == better
    verdict = verdict_of(shop, better)
    assert verdict["champion"]["ndcg@10"] < verdict["candidate"]["ndcg@10"]
    assert verdict["difference"]["low"] > 0, "the tiny shop's customers rebuy, so the gain is beyond noise"

    refused = package(shop, "popularity", days=1)
    assert refused != worse
    with pytest.raises(ReleaseRefused, match=rf"{refused} is refused, release {better} stays live: ndcg@10 .* worse"):
        release(NAME, "third")
    assert releases.live(NAME) == better
    assert not verdict_of(shop, refused)["passed"]
    assert audit(shop)[-1] == ("refused", refused)
    assert refused not in releases.versions(NAME)


@pytest.mark.parametrize(
    ("application", "low", "high", "passes"),
    [
        ("recommendation", -0.002, -0.001, False),
        ("recommendation", -0.002, 0.001, True),
        ("recommendation", 0.001, 0.002, True),
        ("recommendation", 0.0, 0.0, True),
        ("demand", 0.001, 0.002, False),
        ("demand", -0.001, 0.002, True),
        ("demand", -0.002, -0.001, True),
        ("demand", 0.0, 0.0, True),
    ],
)
def test_a_loss_beyond_noise_is_refused_whatever_the_slack(
    application: str, low: float, high: float, passes: bool
) -> None:
    chosen = load_application(application)
    verdict = against_live(chosen, {"mean": (low + high) / 2, "low": low, "high": high})
    assert verdict.passed == passes and verdict.metric == f"{chosen.primary} against the live release"
    assert f"[{low:+.4g}, {high:+.4g}]" in verdict.reason


def test_slack_lets_no_loss_beyond_noise_through_and_a_refresh_passes(shop: Path) -> None:
    write_params(shop, slack=1.0)
    package(shop, "personal")
    release(NAME, "first")
    refused = package(shop, "popularity", days=1)
    with pytest.raises(ReleaseRefused, match=r"ndcg@10 against the live release: -.* worse beyond noise"):
        release(NAME, "worse within slack")
    lost = [one["metric"] for one in verdict_of(shop, refused)["verdicts"] if not one["passed"]]
    assert lost == ["ndcg@10 against the live release"]
    same = package(shop, "personal", days=1)
    assert release(NAME, "refresh").version == same
    assert "ndcg@10 against the live release: +0 [+0, +0], not worse beyond noise" in verdict_of(shop, same)["reasons"]


def test_a_floor_refuses_the_first_release_with_status_1(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(shop, floor=0.99)
    version = package(shop, "popularity")
    assert main(["promote", NAME]) == 1
    assert "misses the floor 0.99" in capsys.readouterr().err
    assert releases.live(NAME) is None and not verdict_of(shop, version)["passed"]


def test_an_altered_bundle_is_not_released(shop: Path) -> None:
    package(shop, "popularity")
    with (shop / "data" / NAME / "bundle" / "catalogue.parquet").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(Exception, match=r"catalogue\.parquet"):
        release(NAME)
    assert releases.live(NAME) is None


def test_a_damaged_champion_does_not_bar_the_next_release(shop: Path) -> None:
    champion = package(shop, "popularity")
    release(NAME)
    (releases.release_path(NAME, champion) / "members" / "popularity" / "counts.npy").write_bytes(b"broken")
    version = package(shop, "personal")
    assert release(NAME).version == version
    assert any("only the floors spoke" in entry["reason"] for entry in verdict_of(shop, version)["verdicts"])


@pytest.mark.parametrize("damage", ["counts", "manifest"])
def test_a_champion_of_an_old_format_does_not_bar_the_next_release(shop: Path, damage: str) -> None:
    """Sealed as it is, so its bytes are right; it is this version of the code that cannot read them."""
    folder = releases.release_path(NAME, _released(shop, "popularity"))
    if damage == "counts":
        (folder / "members" / "popularity" / "counts.npy").write_bytes(b"a format of long ago")
    else:
        write_json(folder / "manifest.json", {"format": FORMAT, "application": NAME})
    seal(folder)
    version = package(shop, "personal")
    assert release(NAME).version == version
    assert any("only the floors spoke" in entry["reason"] for entry in verdict_of(shop, version)["verdicts"])


def _released(shop: Path, model: str) -> str:
    package(shop, model)
    return release(NAME).version


def test_rollback_and_list(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = package(shop, "popularity")
    release(NAME)
    second = package(shop, "personal")
    release(NAME)
    assert main(["rollback", NAME, first, "--why", "wrong prices"]) == 0
    assert releases.live(NAME) == first and audit(shop)[-1] == ("rolled back", first)
    assert main(["list", NAME]) == 0
    assert {first, second} <= set(capsys.readouterr().out.split())
    assert main(["rollback", NAME, "20250101-00000000"]) == 1
    assert "name one of these" in capsys.readouterr().err
    with pytest.raises(ReleaseError):
        releases.point(NAME, "20250101-00000000", "no such release")


def test_what_was_rolled_back_is_not_released_again_until_asked_for(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle in data/ is still the one that was withdrawn, so every nightly run would bring it back."""
    first = package(shop, "popularity")
    release(NAME)
    second = package(shop, "personal")
    release(NAME)
    rollback(NAME, first, "wrong prices")
    pointer = releases.pointer_path(NAME).read_bytes()
    nightly = release(NAME, "nightly")
    assert (nightly.version, nightly.moved) == (first, False)
    assert f"{second} was withdrawn (wrong prices), not released again; {first} stays live" in nightly.words
    assert main(["promote", NAME]) == 0 and "not released again" in capsys.readouterr().out
    assert releases.pointer_path(NAME).read_bytes() == pointer and audit(shop)[-1] == ("rolled back", first)
    assert main(["list", NAME]) == 0 and "withdrawn" in capsys.readouterr().out

    third = package(shop, "personal", days=1)
    assert release(NAME).version == third, "only that very version was withdrawn"
    assert package(shop, "personal") == second and not release(NAME).moved, "a newer release does not lift it"
    assert main(["promote", NAME, "--again"]) == 0
    assert releases.live(NAME) == second and audit(shop)[-1] == ("released", second)
    assert second not in releases.withdrawn(NAME)


def waiting() -> tuple[str, str, float] | None:
    """The challenger's version, mode and share."""
    pointer = releases.pointer(NAME)
    found = pointer and pointer.challenger
    return (found.version, found.mode, found.share) if found else None


def test_a_winner_may_first_answer_a_share_of_the_customers(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = package(shop, "popularity")
    assert main(["promote", NAME, "--canary", "0.2"]) == 0
    assert (releases.live(NAME), waiting()) == (first, None), "there is nothing yet that the first could challenge"
    second = package(shop, "personal")
    assert main(["promote", NAME, "--canary", "0.2", "--why", "careful"]) == 0
    assert f"{first} stays live, {second} answers 20% of the customers" in capsys.readouterr().out
    assert (releases.live(NAME), waiting()) == (first, (second, "canary", 0.2))
    decision = read_audit(NAME)[-1]
    assert (decision.what, decision.before, decision.after, decision.why) == ("canary", first, second, "careful")
    assert decision.figures["share"] == 0.2 and decision.figures["low"] > 0
    assert bento_labels(second), "whatever answers customers can be found"

    nightly = release(NAME, "nightly", automatic=True)
    assert not nightly.moved and f"{second} is the canary already" in nightly.words
    assert main(["promote", NAME, "--canary", "0.5"]) == 0 and waiting() == (second, "canary", 0.5)
    third = package(shop, "personal", days=1)
    for mode in get_args(Place):
        newer = release(NAME, "newer", mode=mode, automatic=True, by="retrain")
        assert not newer.moved and f"{second} is the canary until it is settled" in newer.words
    assert waiting() == (second, "canary", 0.5), "who runs by itself ends no trial that nobody has judged"
    assert release(NAME, "newer", mode="shadow", share=1.0, by="ada").moved
    assert waiting() == (third, "shadow", 1.0)
    assert audit(shop)[-2:] == [("dismissed", third), ("shadow", third)] and read_audit(NAME)[-2].before == second
    assert main(["settle", NAME, "dismiss", "--why", "slow"]) == 0
    again = release(NAME, "nightly", automatic=True)
    assert not again.moved and f"{third} was withdrawn (slow)" in again.words
    assert main(["promote", NAME, "--again"]) == 0 and releases.live(NAME) == third


def test_a_canary_must_win_the_duel_too(shop: Path) -> None:
    better = package(shop, "personal")
    release(NAME, "first")
    worse = package(shop, "popularity")
    with pytest.raises(ReleaseRefused, match=f"{worse} is refused, release {better} stays live"):
        release(NAME, "second", mode="canary")
    assert waiting() is None and read_audit(NAME)[-1].before == better


def test_what_runs_by_itself_leaves_a_frozen_pointer_unjudged(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package(shop, "popularity")
    release(NAME, "first")
    assert main(["freeze", NAME, "--why", "inventory week"]) == 0
    second = package(shop, "personal")
    with monkeypatch.context() as costly:
        costly.setattr("flows.promotion.duel", lambda *_: pytest.fail("nothing was to be decided"))
        nightly = release(NAME, "nightly", automatic=True)
    assert not nightly.moved and nightly.version == first and "(inventory week)" in nightly.words
    assert release(NAME, "by hand").moved and releases.live(NAME) == second


def test_a_freeze_during_the_duel_stops_what_runs_by_itself(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package(shop, "popularity")
    release(NAME, "first")
    package(shop, "personal")

    def slow(*asked: Any) -> Judgement:
        releases.hold(NAME, "inventory week")
        return duel(*asked)

    monkeypatch.setattr("flows.promotion.duel", slow)
    with pytest.raises(ReleaseError, match="held"):
        release(NAME, "nightly", automatic=True)
    assert releases.live(NAME) == first


def test_a_canary_whose_run_was_killed_before_the_record_is_completed_by_the_next(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(shop, "popularity")
    release(NAME)
    second = package(shop, "personal")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("flows.promotion.on_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        release(NAME, "nightly", mode="canary", share=0.1, automatic=True)
    assert waiting() == (second, "canary", 0.1) and audit(shop)[-1] == ("canary", second)
    for _ in range(2):
        assert not release(NAME, "nightly", mode="canary", share=0.1, automatic=True).moved
    assert [what for what, _ in audit(shop)] == ["released", "canary"] and bento_labels(second)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ((0.0, 0.0, 0.0), "no difference"),
        ((0.00001, -0.00002, 0.00003), "no difference"),
        ((0.00001, -0.004, 0.005), r"between -0\.0040 and \+0\.0050, which is noise"),
        ((0.0012, -0.0003, 0.0027), r"\+0\.0012 \[-0\.0003, \+0\.0027\], within noise$"),
        ((0.0112, 0.0103, 0.0127), r"\+0\.0112 \[\+0\.0103, \+0\.0127\]$"),
    ],
)
def test_what_rounds_to_nothing_is_not_called_a_gain(figures: tuple[float, ...], words: str) -> None:
    judgement = Judgement(True, [], dict(zip(("mean", "low", "high"), figures, strict=True)), {}, {})
    assert re.search(words, gain(judgement)) and "+0.0000" not in gain(judgement)


def test_a_rollback_during_the_duel_is_not_overwritten(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package(shop, "popularity")
    release(NAME)
    package(shop, "personal")
    release(NAME)
    package(shop, "personal", days=1)

    def slow(*asked: Any) -> Judgement:
        rollback(NAME, first, "wrong prices")
        return duel(*asked)

    monkeypatch.setattr("flows.promotion.duel", slow)
    with pytest.raises(ReleaseError, match=rf"but now {first} is; decide again"):
        release(NAME)
    assert releases.live(NAME) == first


def test_no_release_while_the_graph_runs(shop: Path) -> None:
    """The bundle would change while it is judged; what holds the lock itself, as the pipeline does, may release."""
    version = package(shop, "popularity")
    holder = "import sys; from pathlib import Path; from flows.crew import only_run\n"
    holder += "with only_run(Path()): print('held', flush=True); sys.stdin.read()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", holder], cwd=shop, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(ShopError, match=f"process {other.pid} is at it"):
            release(NAME)
        other.communicate()
    assert releases.live(NAME) is None
    with only_run(shop):
        assert release(NAME).version == version


def test_a_run_killed_after_the_pointer_moved_is_completed_by_the_next(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = package(shop, "popularity")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("flows.promotion.on_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        release(NAME)
    assert releases.live(NAME) == version
    assert audit(shop) == [("released", version)], "the line came with the move"
    assert not release(NAME).moved
    assert audit(shop) == [("released", version)] and bento_labels(version)


@pytest.fixture
def slow_copy(shop: Path) -> Iterator[subprocess.Popen[str]]:
    """A release of its own process that takes its time over the bundle's last file."""
    script = """
import shutil, sys, time
copy = shutil.copyfile
def slow(source, target, **kwargs):
    copy(source, target, **kwargs)
    if str(target).endswith("manifest.json"):
        print("copying", flush=True)
        time.sleep(60)
    return target
shutil.copyfile = slow
from flows.promotion import Place, gain
from flows.release import main
sys.exit(main(["promote", "recommendation"]))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=shop, env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def test_kill_9_during_a_release_leaves_the_old_one_live_and_no_half(
    shop: Path, request: pytest.FixtureRequest
) -> None:
    old = package(shop, "popularity")
    release(NAME)
    new = package(shop, "personal")
    process: subprocess.Popen[str] = request.getfixturevalue("slow_copy")
    assert process.stdout is not None and "copying" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert releases.live(NAME) == old and releases.versions(NAME) == [old]
    with pytest.raises(ReleaseError):
        releases.release_path(NAME, new)
    began = time.monotonic()
    assert release(NAME).version == new
    releases.check(releases.release_path(NAME, new))
    assert time.monotonic() - began < 30


def test_a_champion_of_another_catalogue_is_scored_on_the_same_products(shop: Path, features: Path) -> None:
    """A product is new and sorts before all others, so every code of the candidate has moved by one."""
    package(shop, "personal")
    bundle, rows = shop / "data" / NAME / "bundle", Rows.of(features)
    plain = show(APPLICATION, rows, bundle)

    moved = shop / "moved"
    moved.mkdir()
    catalogue = pl.read_parquet(features / "catalogue.parquet")
    newcomer = catalogue.head(1).with_columns(pl.lit("a new product").alias("product_id"))
    shifted = pl.concat([newcomer, catalogue.with_columns((pl.col("item") + 1).cast(pl.Int32))])
    shifted.write_parquet(moved / "catalogue.parquet")
    later = Rows(
        rows.queries.with_columns(pl.col("items", "candidates").list.eval((pl.element() + 1).cast(pl.Int32))),
        rows.pool.with_columns((pl.col("item") + 1).cast(pl.Int32)),
        rows.truth.with_columns((pl.col("item") + 1).cast(pl.Int32)),
    )
    queries, pool, back = recode(moved, bundle, later.queries, later.pool)
    assert queries.select("items", "candidates").equals(rows.queries.select("items", "candidates"))
    assert pool["item"].equals(rows.pool["item"])
    assert back(pool.select("query", "item"))["item"].equals(later.pool["item"])
    recoded = show(APPLICATION, later, bundle, catalogue=moved)
    assert recoded.figures["ndcg@10"] == pytest.approx(plain.figures["ndcg@10"])
