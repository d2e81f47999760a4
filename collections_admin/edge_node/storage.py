"""Small files that must be whole after a crash, and directories that must vanish at once."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

TRASH = "trash-"


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Replace `path` by `content`: after a crash it holds either the old or the new whole."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def read_json(path: Path, default: Any) -> Any:
    if not path.exists():
        return default
    return json.loads(path.read_text(encoding="utf-8"))


def discard(path: Path) -> Path:
    """Take a directory out of sight in one step; the caller removes what is returned."""
    target = path.with_name(f"{TRASH}{uuid4().hex}")
    path.rename(target)
    sync_directory(path.parent)
    return target


def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


class FolderInUseError(Exception):
    """Another process holds the lock of the data folder."""


class FolderLock:
    """One process per data folder. The kernel drops the lock with the process, so none is ever stale."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "node.lock"
        self._file = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise FolderInUseError(f"data folder {folder} is in use by process {owner}") from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()
