"""Imports go one way: a module imports only from floors above its own (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def floors() -> dict[str, int]:
    """Module or package below `forecast` -> floor, as ARCHITECTURE.md's table lists them."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    found = {}
    for floor, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M):
        for name in re.findall(r"`([a-z_]+)(?:\.py|/)`", names):
            found[name] = int(floor)
    return found


def imports(path: Path) -> set[str]:
    """First-level modules of `forecast` that a file imports, but not only for type checking."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("forecast"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("forecast.")}
    return found


def modules() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "forecast").rglob("*.py")):
        parts = path.relative_to(ROOT / "forecast").with_suffix("").parts
        found.setdefault(parts[0], []).append(path)
    return found


def test_every_module_has_a_floor_and_every_floor_its_modules():
    assert set(floors()) == set(modules()) - {"__init__"}


def test_no_module_imports_from_a_floor_below_its_own():
    floor = floors()
    wrong = [
        f"{path.relative_to(ROOT)} (floor {floor[name]}) imports {other} (floor {floor[other]})"
        for name, paths in modules().items()
        if name != "__init__"
        for path in paths
        for other in imports(path) - {name}
        if floor[other] > floor[name]
    ]
    assert wrong == []


def test_nothing_that_can_run_code_is_loaded():
    forbidden = {"pickle", "cPickle", "dill", "marshal", "shelve"}
    calls = {("torch", "load"), ("yaml", "load"), ("yaml", "full_load"), ("joblib", "load")}
    for path in (ROOT / "forecast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not forbidden & {a.name.split(".")[0] for a in node.names}, path
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in forbidden, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in calls, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
