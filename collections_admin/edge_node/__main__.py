"""`python -m collections_admin.edge_node`, see `process`."""

import sys
from importlib.util import find_spec
from types import ModuleType


def import_without_its_code(package: str) -> None:
    """Let submodules of a package be imported without running its `__init__`.

    The node needs only the generated messages of `qdrant_client.grpc`; the client around them would cost it more than
    a second at each start and 45 MB for good.
    """
    spec = find_spec(package)
    if package in sys.modules or spec is None:
        return
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations or [])
    bare.__spec__ = spec
    sys.modules[package] = bare


if __name__ == "__main__":
    import_without_its_code("qdrant_client")
    from collections_admin.edge_node.process import main  # only now: it imports the messages

    sys.exit(main())
