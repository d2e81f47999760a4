"""Two tenants with real text that every machine has: Python's own reference and the docstrings of its standard library."""

from collections_admin.demo.load import load

__all__ = ["load"]
