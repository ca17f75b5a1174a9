"""A tiny shop's release, made by the project's own featurise, models and ensemble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from components import releases
from components.core.artifacts import seal, write_json
from components.core.bundle import FORMAT
from components.core.ensembles import PoolSpec, make_ensemble
from components.core.model import make_model
from components.recommendation.application import APPLICATION
from components.recommendation.features.folds import featurise
from components.support.answer.ask import Answer, Ask, Because, Ranked, Reply, Resembling, Told
from components.support.answer.reply import fill
from components.support.understanding.masking import mask
from serving.service import Shop
from serving.support import Release

AS_OF = datetime(2025, 7, 1, tzinfo=UTC)
MEMBERS = ["popularity", "personal", "item_knn"]
N_CUSTOMERS, N_PRODUCTS, N_CATEGORIES, N_WEEKS = 60, 120, 6, 20


def make_products(colour: str = "") -> pl.LazyFrame:
    """20 products in each of 6 categories; p119 is no longer sold. A colour is said in every title and category."""
    number = pl.int_range(N_PRODUCTS, eager=True)
    return pl.LazyFrame(
        {
            "product_id": [f"p{n}" for n in number],
            "title": [f"{colour}Product {n}" for n in number],
            "category": [f"{colour}Category {n % N_CATEGORIES}" for n in number],
            "department": [f"Department {n % 2}" for n in number],
            "brand": [f"Brand {n % 5}" for n in number],
            "price": [1.0 + n % 7 for n in number],
            "active": [n != 119 for n in number],
        }
    )


def make_transactions() -> pl.LazyFrame:
    """Each customer rebuys six staples in a rhythm of their own and adds one of a popular few, in pairs."""
    random = np.random.default_rng(0)
    rows = []
    for customer in range(N_CUSTOMERS):
        staples = random.choice(N_PRODUCTS, 6, replace=False)
        rhythm = random.integers(1, 4, 6)
        for week in range(N_WEEKS):
            extra = int(random.zipf(1.5)) % 30
            bought = {int(item) for item, every in zip(staples, rhythm, strict=True) if week % every == 0}
            bought |= {extra, extra + 30}
            at = AS_OF - timedelta(days=7 * (N_WEEKS - week), hours=-int(random.integers(1, 24)))
            rows += [(f"b{customer}-{week}", f"p{item}", f"c{customer}", at) for item in sorted(bought)]
    frame = pl.DataFrame(rows, schema=["basket_id", "product_id", "customer_id", "at"], orient="row")
    return frame.with_columns(quantity=pl.lit(1.0), amount=pl.lit(2.0)).lazy()


def make_bundle(features: Path, folder: Path, single: str | None = None) -> Path:
    """What the stage `package` writes: the ensemble rrf over three members, or a single model."""
    train = pl.read_parquet(features / "test" / "train.parquet")
    members = [single] if single else MEMBERS
    for name in members:
        make_model("recommendation", name, {}).fit(train).save(folder / "members" / name)
    if single is None:
        spec = PoolSpec.of(APPLICATION, MEMBERS, [])
        make_ensemble("rrf", spec, {}).save(folder / "ensemble")
    shipped = {"name": single or "rrf", "kind": "single" if single else "ensemble", "reason": "test"}
    manifest = {"format": FORMAT, "application": "recommendation", "shipped": shipped, "members": members}
    write_json(folder / "manifest.json", manifest | {"as_of": AS_OF.isoformat(), "params": {}})
    APPLICATION.package(features, folder)
    seal(folder)
    return folder


def make_features(out: Path, **more_tables: pl.LazyFrame) -> Path:
    tables = {"products": make_products(), "transactions": make_transactions(), **more_tables}
    split = {"horizon_days": 14, "oof_folds": 1, "anonymous_queries": 5}
    featurise(tables, AS_OF.isoformat(), {"split": split, "features": {"neighbour_support": 2}}, out)
    return out


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_features(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def sold_out_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shop, where the bestsellers p0 and p30 are sold out in both branches and p1 in one."""
    counts = [("p0", "s1", 0.0), ("p0", "s2", 0.0), ("p30", "s1", 0.0), ("p1", "s1", 0.0), ("p1", "s2", 5.0)]
    stock = pl.DataFrame(counts, schema=["product_id", "store_id", "on_hand"], orient="row")
    folder = tmp_path_factory.mktemp("sold_out")
    features = make_features(folder / "features", stock=stock.with_columns(at=pl.lit(AS_OF)).lazy())
    return make_bundle(features, folder / "bundle")


@pytest.fixture(scope="session")
def bundle(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(features, tmp_path_factory.mktemp("bundle") / "ensemble")


@pytest.fixture(scope="session")
def other_bundle(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(features, tmp_path_factory.mktemp("bundle") / "single", single="personal")


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two bundles whose answers differ in every item: one says Blue in all titles and categories, one Green."""
    found = {}
    for colour, single in (("Blue ", None), ("Green ", "personal")):
        folder = tmp_path_factory.mktemp(colour.strip())
        features = make_features(folder / "features", products=make_products(colour))
        found[colour] = make_bundle(features, folder / "bundle", single)
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shop of its own, without a release."""
    monkeypatch.setenv("SHOP_HOME", str(tmp_path / "shop"))
    for name in ("SHOP_API_KEY", "SHOP_FEEDBACK_URL", "SHOP_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "shop"


@pytest.fixture
def released(home: Path, bundle: Path) -> str:
    """The version of a live release in `home`."""
    version = releases.put(bundle, "recommendation", {})
    releases.point("recommendation", version, "test")
    return version


@pytest.fixture
def meters() -> None:
    """Clears BentoML's meters, which it makes once per process."""
    for collector in list(REGISTRY._collector_to_names):
        REGISTRY.unregister(collector)


@pytest.fixture
def start(home: Path, meters: None) -> Iterator[Callable[[], TestClient]]:
    """Starts the service as it stands when called: with or without a release, with or without a key."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(TestClient(Shop.to_asgi(), raise_server_exceptions=False))


@pytest.fixture
def client(released: str, start: Callable[[], TestClient]) -> TestClient:
    """The service with a release of recommendation."""
    return start()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something holds, so that no test needs to know how long it takes."""

    def wait(holds: Callable[[], object], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.02)

    return wait


SUPPORT_TEMPLATE = "Your order {order_number} is on its way and should arrive on {delivery_date}."


class TrivialAnswerer:
    """Hands over who says "person", fails on "break" and its name, and answers everybody else with the facts."""

    def __init__(self, name: str = "trivial") -> None:
        self.name = name

    def answer(self, ask: Ask) -> Answer:
        if f"break {self.name}" in ask.message:
            raise RuntimeError("a defect of the model")
        masked, person = mask(ask.message).text, "person" in ask.message
        ranked = (Ranked("order_status", "Where is my order", 0.9371234), Ranked("other", "Other", 0.05))
        slots = {"order_number": "A-48213", "delivery_date": ask.facts.get("delivery_date", "?")}
        decision, reply = ("hand_over", Reply("A colleague", "A colleague")) if person else (
            "answer", Reply(fill(SUPPORT_TEMPLATE, slots), SUPPORT_TEMPLATE, slots))  # fmt: skip
        if not ask.message.strip():
            decision, reply = "clarify", Reply("How can I help?", "How can I help?")
        return Answer(
            decision=decision, reply=reply, language="en", written="en", intents=ranked, rejection=0.25,
            intent=None if person else "order_status", asked=None, missing=(), why=(self.name,),
            because=Because((Resembling("where is <ORDER>", "order_status", 0.8),), (("where", 1.25),)),
            told=(Told("order_number", "A-48213", "<ORDER>"),), urgency="normal", sentiment=-0.25, masked=masked,
            summary={"in_words": "wants a person", "message": masked} if person else None,
        )  # fmt: skip


@pytest.fixture
def make_support(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Puts a release of customer service, whose answers say its name, on the shelf of `home`: its version."""
    for name in ("HANDOVER_WEBHOOK", "HANDOVER_SECRET", "REPHRASE_URL", "REPHRASE_MODEL", "REPHRASE_KEY"):
        monkeypatch.delenv(f"SHOP_{name}", raising=False)
    monkeypatch.setattr(Release, "load", lambda folder: Release(TrivialAnswerer((folder / "name").read_text())))

    def make(name: str) -> str:
        folder = tmp_path / f"support_{name}"
        folder.mkdir()
        manifest = {"format": FORMAT, "application": "support", "shipped": {"name": name, "kind": "single"}}
        write_json(folder / "manifest.json", manifest | {"members": [], "as_of": AS_OF.isoformat()})
        (folder / "name").write_text(name)
        seal(folder)
        return releases.put(folder, "support", {})

    return make


@pytest.fixture
def support_version(make_support: Callable[[str], str]) -> str:
    """The version of a live release of customer service in `home`."""
    version = make_support("trivial")
    releases.point("support", version, "test")
    return version


@pytest.fixture
def support(support_version: str, start: Callable[[], TestClient]) -> TestClient:
    """The service with a release of customer service."""
    return start()
