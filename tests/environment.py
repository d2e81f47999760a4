"""The environment of the tests: a plugin of pytest, since pytest-django reads the settings before any conftest."""

import atexit
import os
import shutil
import socket
import tempfile


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Before the settings are read: tests must not touch the data folder or the configuration of this checkout.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="console-tests-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ["EMBEDDED_NODE_PORT"] = str(_free_port())
for _name in ("QDRANT_URL", "QDRANT_HOST", "QDRANT_API_KEY", "DEBUG", "HTTPS", "TRUSTED_ORIGINS", "ALLOWED_HOSTS"):
    os.environ[_name] = ""
