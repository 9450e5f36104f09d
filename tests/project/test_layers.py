"""Imports go one way: a package imports only itself and packages above it (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests import ROOT

PACKAGE = ROOT / "forecast"
DOORS = {"__init__", "__main__", "api"}  # loose at the top, for those who come from outside


def order() -> list[str]:
    """The packages of `forecast`, as ARCHITECTURE.md's table lists them, the lowest first."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z]+)/` \|", text, re.M)


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax, read once for all that is asked of it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """First-level names of `forecast` that a file imports, for type checking too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "forecast":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {"".join(parts[1:2]) for parts in names if parts[0] == "forecast"}
    return found


def test_the_table_lists_every_package_once():
    there = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    assert sorted(order()) == sorted(there - {f"{name}.py" for name in DOORS})


def test_at_most_three_modules_are_loose_at_the_top():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= DOORS
    assert len(DOORS) <= 3


def test_a_package_imports_only_itself_and_packages_above_it():
    allowed = {name: set(order()[: n + 1]) for n, name in enumerate(order())}
    wrong = [
        f"{path.relative_to(ROOT)} imports {other or 'forecast itself'}"
        for name in order()
        for path in sorted((PACKAGE / name).rglob("*.py"))
        for other in sorted(imports(path) - allowed[name])
    ]
    assert wrong == []


# Inside the three largest packages a module imports only modules of earlier lines. A new module
# gets its place here.
INSIDE = {
    "scheduling": (
        "job_folder clock config documents history ledger_checks monitoring",
        "as_of config_file dated_files decisions init ledger lock models timers",
        "doctor kubernetes live_scores retraining",
        "forecast",
        "publication",
        "recovery",
        "database published_forecasts retention",
        "context rollback override",
        "serving status repair value_added",
        "run score",
    ),
    "training": (
        "checkpoint config losses distillation",
        "distributed sampler",
        "plan loop",
        "ensemble",
        "selection",
        "learn",
        "federated zero_shot",
        "tuning/space",
        "tuning/search",
        "pretraining/base",
        "pretraining/config",
        "pretraining/components",
        "pretraining/calendar_effects pretraining/gaussian_process pretraining/counts",
        "pretraining/structural",
        "pretraining/hourly",
        "pretraining/families",
        "pretraining/generate",
        "pretraining/pool",
        "pretraining/pretrain",
    ),
    "models/networks": (
        "numpy_ops covariate_effect",
        "base",
        "torch_layers",
        "head lstm peephole transformer convlstm",
        "*",  # every other network
        "registry",
        "numpy_forward residual",
    ),
}


def modules_imported(path: Path) -> set[str]:
    """Modules of `forecast`, as paths below it, that a file imports at its top level."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("forecast."):
            place = "/".join(node.module.split(".")[1:])
            found |= {place} | {f"{place}/{alias.name}" for alias in node.names}
    return found


def test_inside_a_large_package_imports_go_one_way_too():
    wrong = []
    for room, lines in INSIDE.items():
        place = {f"{room}/{m}": n for n, line in enumerate(lines) for m in line.split()}
        there = {
            str(path.relative_to(PACKAGE).with_suffix("")): path
            for path in (PACKAGE / room).rglob("*.py")
            if path.name != "__init__.py" and path.parent.name != "sample_data"
        }
        others = sorted(set(there) - set(place))
        place |= {name: lines.index("*") for name in others if "*" in lines}
        place.pop(f"{room}/*", None)
        wrong += [f"{name} has no place in INSIDE" for name in sorted(set(there) - set(place))]
        wrong += [f"{name} is no module" for name in sorted(set(place) - set(there))]
        wrong += [
            f"{name} imports {other}"
            for name, path in sorted(there.items())
            for other in sorted(modules_imported(path) & set(place) - {name})
            if place[other] >= place.get(name, 0)
        ]
    assert wrong == []


WRITES = ("inference/tables", "inference/formats")  # a table as rows, as a file


def test_doors_for_programs_decide_nothing():
    """They run commands, or read what was published and reported: no network, no fit, no score."""
    foreign = {"transforms", "models", "inference", "evaluation", "training", "analysis"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((PACKAGE / "cli" / "doors").rglob("*.py"))
        for name in sorted(modules_imported(path))
        if name.split("/")[0] in foreign and not name.startswith(WRITES)
    ]
    assert wrong == []


def test_nothing_that_can_run_code_is_loaded():
    forbidden = {"pickle", "cPickle", "dill", "marshal", "shelve"}
    calls = {("torch", "load"), ("yaml", "load"), ("yaml", "full_load"), ("joblib", "load")}
    for path in (ROOT / "forecast").rglob("*.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                assert not forbidden & {a.name.split(".")[0] for a in node.names}, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in forbidden, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in calls, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path


IN_A_ROW = {"add_row", "plain_table", "print", "ToolSpec"}  # cells of a table, in its order


def test_no_call_passes_more_than_seven_arguments_by_position():
    """Nobody can tell from `f(a, b, c, d, e, f, g, h)` what the eighth is."""
    long = [
        f"{path}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and len([each for each in node.args if not isinstance(each, ast.Starred)]) > 7
        and getattr(node.func, "attr", getattr(node.func, "id", "")) not in IN_A_ROW
    ]
    assert long == []


LONGEST = 60  # lines of a function, its docstring among them


def test_no_function_is_longer_than_a_screen():
    long = [
        f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST
    ]
    assert long == []
