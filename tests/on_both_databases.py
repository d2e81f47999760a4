"""The whole test suite on SQLite and on PostgreSQL at the same time: `python tests/on_both_databases.py [pytest options]`.

The tests wait more than they compute, so that both runs together take little longer than one. Every line says whose it is.
"""

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

PYTEST = [sys.executable, "-m", "pytest", *sys.argv[1:]]
WITH_POSTGRESQL = [sys.executable, str(Path(__file__).with_name("with_postgresql.py"))]
RUNS = {"sqlite": PYTEST, "postgresql": [*WITH_POSTGRESQL, *PYTEST]}


def run(name: str, command: list[str], codes: dict[str, int]) -> None:
    environment = os.environ | {"DATABASE_URL": ""}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            print(f"{name:<10} | {line}", end="", flush=True)
    codes[name] = process.returncode


def main() -> int:
    codes: dict[str, int] = {}
    threads = [Thread(target=run, args=(name, command, codes)) for name, command in RUNS.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(", ".join(f"{name}: {'passed' if code == 0 else f'failed ({code})'}" for name, code in codes.items()))
    return 0 if list(codes.values()) == [0] * len(RUNS) else 1


if __name__ == "__main__":
    sys.exit(main())
