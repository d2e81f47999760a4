"""The shape of the code: which package may import which, and what must not come back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    # A package, and what of ours it may not import.
    "collections_admin/errors.py": {"collections_admin", "dashboard"},
    "collections_admin/edge_node": {"django", "collections_admin.services", "collections_admin.models", "dashboard"},
    "collections_admin/qdrant": {
        "collections_admin.models",
        "collections_admin.services",
        "collections_admin.jobs",
        "collections_admin.views",
        "dashboard",
    },
    "collections_admin/embeddings": {
        "collections_admin.models",
        "collections_admin.services",
        "collections_admin.jobs",
        "collections_admin.views",
        "dashboard",
    },
    "collections_admin/models": {
        "collections_admin.services",
        "collections_admin.jobs",
        "collections_admin.views",
        "collections_admin.qdrant",
        "dashboard",
    },
    "collections_admin/services": {"collections_admin.jobs", "collections_admin.views", "django.http", "dashboard"},
    "collections_admin/jobs": {"collections_admin.views", "django.http", "dashboard"},
    "collections_admin": {"dashboard"},
}


def modules_below(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("place", LAYERS)
def test_imports_go_one_way(place: str) -> None:
    modules = modules_below(place)
    assert modules
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules
        for name in imported_names(path)
        if any(name == banned or name.startswith(banned + ".") for banned in LAYERS[place])
    ]
    assert wrong == []


def test_only_one_package_imports_the_qdrant_client() -> None:
    allowed = {"qdrant", "edge_node"}
    users = {
        path.relative_to(ROOT / "collections_admin").parts[0]
        for path in modules_below("collections_admin")
        if any(name.split(".")[0] in {"qdrant_client", "qdrant_edge", "grpc"} for name in imported_names(path))
    }
    assert users <= allowed


def test_nothing_is_named_after_no_noun() -> None:
    names = {path.name for place in ("collections_admin", "dashboard") for path in (ROOT / place).rglob("*")}
    assert not names & {"utils", "utils.py", "core", "core.py", "common", "common.py", "helpers.py", "misc.py"}


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for place in ("collections_admin", "dashboard")
        for path in modules_below(place)
        if "migrations" not in path.parts and (lines := len(path.read_text().splitlines())) > 500
    }
    assert long == {}


def test_templates_hold_no_inline_script_or_style() -> None:
    """The content security policy forbids them, so they would silently do nothing."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "templates").rglob("*.html")
        for text in [path.read_text()]
        if " style=" in text or "<style" in text or " onclick=" in text or "<script>" in text or "hx-on" in text
    ]
    assert found == []
