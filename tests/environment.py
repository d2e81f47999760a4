"""The environment of the tests: a plugin of pytest, since pytest-django reads the settings before any conftest."""

import atexit
import os
import shutil
import tempfile

from tests.consoles import free_port

# Before the settings are read: tests must not touch the data folder or the configuration of this checkout.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="console-tests-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ["EMBEDDED_NODE_PORT"] = str(free_port())
for _name in ("QDRANT_URL", "QDRANT_HOST", "QDRANT_API_KEY", "DEBUG", "HTTPS", "TRUSTED_ORIGINS", "ALLOWED_HOSTS"):
    os.environ[_name] = ""
