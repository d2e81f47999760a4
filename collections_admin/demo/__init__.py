"""Two tenants with real text that every machine has: Python's reference and the docstrings of its library."""

from collections_admin.demo.load import load

__all__ = ["load"]
