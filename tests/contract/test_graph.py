"""dvc.yaml against what is on disk: real commands, real files, and the code that each stage imports."""

from __future__ import annotations

import inspect
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

import components.__main__ as command_line
from components.core.ensembles import ensemble_names
from components.core.model import model_names
from components.core.params import read_params
from components.core.tables import TABLES
from flows.graph import Graph, Stage, read_graph

ROOT = Path(__file__).parents[2]
# What cannot change an artefact; dvc.yaml says so at its head.
HARMLESS = {
    f"components/core/{name}.py" for name in ("application", "artifacts", "errors", "folders", "gate", "params")
}
HARMLESS |= {"components/settings.py"}
HARMLESS |= {"components/clock.py"}  # the store asks it when it is written to, which no stage does

LEARNED_FROM = {"support": ("intents", "examples", "messages")}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(ROOT)


@pytest.fixture(scope="module")
def imports() -> Any:
    return grimp.build_graph("components")


def words(stage: Stage) -> Any:
    """The command as the command line parses it; anything else would exit."""
    parts = shlex.split(stage.command)
    assert parts[:3] == ["python", "-m", "components"]
    return command_line.parser().parse_args(parts[3:])


def test_commands_name_stages_tables_applications_and_models(graph: Graph) -> None:
    for stage in graph:
        asked = words(stage)
        assert inspect.isfunction(getattr(import_module(f"components.stages.{asked.stage}"), asked.stage))
        block, item = stage.name.split("@")
        if asked.stage in {"collect", "validate"}:
            assert (block, item) == (asked.stage, asked.subject)
            assert asked.subject in TABLES
        elif asked.stage == "train":
            assert (block, item) == (f"train_{asked.subject}", asked.model)
            assert asked.model in model_names(asked.subject)
        else:
            assert (block, item) == (asked.stage, asked.subject)
            assert (ROOT / "components" / asked.subject / "application.py").is_file()


def test_every_stage_table_and_model_of_params_has_its_place(graph: Graph) -> None:
    params, names = read_params(ROOT / "params.yaml"), set(graph.stages)
    for table in TABLES:
        assert {f"collect@{table}", f"validate@{table}"} <= names
    for application in params["applications"]:
        wanted = {f"{stage}@{application}" for stage in command_line.STAGES[2:] if stage != "train"}
        wanted |= {f"train_{application}@{model}" for model in params[application]["models"]}
        assert wanted <= names
    assert {stage.name.split("@")[0].split("_")[0] for stage in graph} == set(command_line.STAGES)


def test_whatever_is_read_is_in_git_or_made_upstream(graph: Graph) -> None:
    for stage in graph:
        made = {out for name in graph.upstreams([stage.name]) - {stage.name} for out in graph.stages[name].outs}
        for dep in stage.deps:
            if dep.startswith("data/"):
                assert any(out == dep or out.startswith(f"{dep}/") or dep.startswith(f"{out}/") for out in made)
            else:
                assert (ROOT / dep).exists(), f"{stage.name} depends on {dep}, which is not there"


def test_outputs_stay_in_data_and_apart(graph: Graph) -> None:
    outs = [out for stage in graph for out in stage.outs]
    assert len(outs) == len(set(outs))
    assert all(out.startswith("data/") for out in outs)
    assert not any(one.startswith(f"{other}/") for one in outs for other in outs)


def test_the_loop_runs_through_every_stage(graph: Graph) -> None:
    for application in read_params(ROOT / "params.yaml")["applications"]:
        needed = graph.upstreams([f"package@{application}"])
        learned = LEARNED_FROM.get(application, ("transactions", "products"))
        assert {f"validate@{table}" for table in learned} <= needed
        assert {stage.name for stage in graph if stage.application == application} == {
            name for name in needed if graph.stages[name].application
        }


def test_one_models_hyper_parameter_touches_that_model_and_what_follows(graph: Graph) -> None:
    for model in read_params(ROOT / "params.yaml")["recommendation"]["models"]:
        key = f"recommendation.models.{model}"
        reads = {s.name for s in graph if any(p == key or key.startswith(f"{p}.") for p in s.params)}
        trained = {name for name in reads if name.startswith("train_")}
        assert trained == {f"train_recommendation@{model}"}
        assert {name.split("@")[0] for name in reads - trained} <= {"ensemble", "evaluate", "package"}


def roots(stage: Stage) -> set[str]:
    """Modules whose imports decide what a stage writes. Glue (`application`) counts with its imports for package."""
    asked = words(stage)
    found = {f"components.stages.{asked.stage}"}
    home = f"components.{asked.subject}"
    if asked.stage == "featurise":
        found.add(f"{home}.features.folds")
    if asked.stage == "evaluate":
        found |= {
            f"{home}.evaluation.{path.stem}" for path in (ROOT / home.replace(".", "/") / "evaluation").glob("[!_]*.py")
        }
    if asked.stage == "package":
        found.add(f"{home}.application")
    if asked.stage == "ensemble":
        found |= {f"components.core.ensembles.{name}" for name in ensemble_names()}
    if asked.stage == "train":
        found |= {f"{home}.models.{name}" for name in model_names(asked.subject)}
    return found


def imported(stage: Stage, imports: Any) -> set[str]:
    """Files of ours that the stage imports, however indirectly."""
    modules = {module for root in roots(stage) for module in {root, *imports.find_upstream_modules(root)}}
    files = set()
    for module in modules:
        path = Path(*module.split("."))
        file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        if str(file) not in HARMLESS and "def " in (ROOT / file).read_text(encoding="utf-8"):
            files.add(str(file))
    return files


def test_templates_are_dependencies_of_the_stage_beside_them(graph: Graph) -> None:
    stated = {dep for stage in graph for dep in stage.deps}
    for template in (ROOT / "components").rglob("*.j2"):
        path = template.relative_to(ROOT).as_posix()
        assert any(path == dep or path.startswith(f"{dep}/") for dep in stated), f"{path}: name it in dvc.yaml"


def test_code_dependencies_are_what_is_imported(graph: Graph, imports: Any) -> None:
    """Both ways: a missing one would leave stale artefacts, a needless one would run for nothing."""
    for stage in graph:
        asked, needed = words(stage), imported(stage, imports)
        if asked.stage == "train":  # the block is one for all models, so each names its own file only
            others = {f"components/{asked.subject}/models/{name}.py" for name in model_names(asked.subject)}
            needed -= others - {f"components/{asked.subject}/models/{asked.model}.py"}
        stated = [dep for dep in stage.deps if dep.startswith("components/")]
        if asked.stage in {"evaluate", "package"}:  # what made their inputs reruns them through these
            stated += [dep for name in graph.upstreams([stage.name]) for dep in graph.stages[name].deps]
        missing = {file for file in needed if not any(file == dep or file.startswith(f"{dep}/") for dep in stated)}
        assert not missing - loaded_by_name(stage), f"{stage.name} imports {missing}: name them in dvc.yaml"
        needless = {
            dep
            for dep in stage.deps
            if dep.startswith("components/") and not any(file == dep or file.startswith(f"{dep}/") for file in needed)
        }
        assert not needless - loaded_by_name(stage), f"{stage.name} does not import {needless}"


def loaded_by_name(stage: Stage) -> set[str]:
    """What is reached by name or through the application's glue, or is imported but not used by the stage."""
    application = f"components/{words(stage).subject}"
    return {
        "ensemble": {f"{application}/application.py", "components/core/model.py"},
        "evaluate": {
            f"{application}/application.py", "components/core/model.py", "components/stages/evaluation_report.html.j2",
        },
        "featurise": {f"{application}/application.py", "components/core/metrics.py"},
        "package": {
            f"{application}/features", "components/core/metrics.py", "components/core/model.py",
            "components/core/splits.py", "components/core/figures.py",
            *(path.relative_to(ROOT).as_posix() for path in (ROOT / application / "evaluation").glob("*.py")),
        },
    }.get(words(stage).stage, set())  # fmt: skip


def test_deployments_name_real_flows_and_parameters() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for deployment in deployments:
        file, name = deployment["entrypoint"].split(":")
        chosen = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
        inspect.signature(chosen.fn).bind_partial(**deployment.get("parameters", {}))  # who pins says which version
        assert deployment["name"] == name
    limits = {deployment["name"]: deployment.get("concurrency_limit") for deployment in deployments}
    one_waits = {"limit": 1, "collision_strategy": "ENQUEUE"}
    writers = ("pipeline", "retrain", "release")  # of data/ or of a release, each for minutes
    assert {name: limits[name] for name in writers} == dict.fromkeys(writers, one_waits)
    assert limits["watch"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}, "a late look is worth no more"
    assert set(limits) == {*writers, "watch", "rollback", "pin", "freeze", "thaw", "settle"}
