"""Records for the demo, read from the running Python; nothing is imported or executed."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

LEAST_CHARS = 60
SKIPPED_FOLDERS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "__pycache__", "turtledemo", "pydoc_data"}
Record = dict[str, Any]


def reference_topics() -> Iterator[Record]:
    """The language reference, one record a topic."""
    for name, text in sorted(topics.items()):
        first_line = next((line.strip() for line in text.splitlines() if line.strip()), name)
        yield {
            "id": f"topic/{name}",
            "title": first_line.strip('"*')[:200],
            "content": text,
            "meta": {"topic": name, "python": sys.version.split()[0]},
        }


def docstrings(first: str, last: str) -> Iterator[Record]:
    """Docstrings of the library's modules whose names start with a letter from `first` to `last`."""
    for module, path in _modules():
        if first <= module[0].lower() <= last:
            yield from _docstrings_of(module, path)


def _modules() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in sys.stdlib_module_names and not SKIPPED_FOLDERS.intersection(parts):
            yield ".".join(part for part in parts if part != "__init__"), path


def _docstrings_of(module: str, path: Path) -> Iterator[Record]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    seen: set[str] = set()
    for name, kind, node in _named_nodes(tree, module):
        text = ast.get_docstring(node, clean=False)
        # A name defined twice (for two platforms, say) counts once.
        if text and len(text) >= LEAST_CHARS and name not in seen:
            seen.add(name)
            meta = {"module": module, "kind": kind, "line": getattr(node, "lineno", 1)}
            yield {"id": name, "title": name, "content": cleandoc(text), "meta": meta}


def _named_nodes(tree: ast.Module, module: str) -> Iterator[tuple[str, str, Any]]:
    yield module, "module", tree
    pending: list[tuple[str, ast.AST]] = [(module, tree)]
    while pending:
        prefix, parent = pending.pop(0)
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef):
                pending.append((f"{prefix}.{node.name}", node))
                yield f"{prefix}.{node.name}", "class", node
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{prefix}.{node.name}", "method" if isinstance(parent, ast.ClassDef) else "function", node
