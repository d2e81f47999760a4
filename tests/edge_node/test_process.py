"""The node as a process: start, stop, lock, port, parent."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from qdrant_client import models

from collections_admin.edge_node.supervisor import EdgeNode, EdgeNodeError
from tests.edge_node.calling import connect, dense


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_a_second_node_on_the_same_folder_says_so_in_one_line(tmp_path):
    with EdgeNode(tmp_path) as node:
        other = EdgeNode(tmp_path)
        with pytest.raises(EdgeNodeError, match=f"data folder .* is in use by process {node.pid}"):
            other.start()
        assert other.returncode == 1
        assert not other.is_alive
        assert node.is_alive


def test_a_killed_node_leaves_no_lock_behind(tmp_path):
    node = EdgeNode(tmp_path).start()
    port = node.port
    node.kill()
    assert not node.is_alive
    assert (tmp_path / "node.lock").exists()
    node.start()
    assert node.port == port
    assert node.stop() == 0


def test_a_port_in_use_is_named_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = EdgeNode(tmp_path, port)
        with pytest.raises(EdgeNodeError, match=f"port {port} on 127.0.0.1 cannot be used"):
            node.start()
        assert node.returncode == 1
        lines = [line for line in node.log_path.read_text().splitlines() if line.startswith("edge node:")]
        assert len(lines) == 1
        assert "Traceback" not in node.log_path.read_text()


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "collections_admin.edge_node", "--data", str(tmp_path / "file"), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("edge node: data folder")
    assert len(ended.stderr.splitlines()) == 1
    with pytest.raises(EdgeNodeError, match="cannot use"):
        EdgeNode(tmp_path / "file").start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_node_in_order(tmp_path, number):
    node = EdgeNode(tmp_path).start()
    client = connect(node.port)
    await client.create_collection("a", vectors_config=dense())
    await client.upsert("a", [models.PointStruct(id=1, vector=[1, 0, 0, 0])])
    await client.close()
    os.kill(node.pid, number)
    wait_until(lambda: not node.is_alive)
    assert node.returncode == 0
    assert "stopped" in node.log_path.read_text()
    node.start()
    client = connect(node.port)
    assert (await client.count("a")).count == 1
    await client.close()
    assert node.stop() == 0


def test_a_frozen_node_is_stopped_by_force(tmp_path):
    node = EdgeNode(tmp_path).start()
    os.kill(node.pid, signal.SIGSTOP)
    assert node.stop(timeout=0.5) == -signal.SIGKILL
    assert not node.is_alive


def test_a_node_ends_when_its_parent_is_gone(tmp_path):
    code = (
        "import os, sys; from collections_admin.edge_node.supervisor import EdgeNode; "
        f"print(EdgeNode({str(tmp_path)!r}).start().pid, flush=True); os._exit(0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(ended.stdout)
    with EdgeNodeFreed(tmp_path, pid):
        assert "is gone, stopping" in (tmp_path / "node.log").read_text()


class EdgeNodeFreed:
    """The folder becomes free within some seconds after the parent has ended; the orphan is ended otherwise."""

    def __init__(self, folder, pid):
        self.folder = folder
        self.pid = pid

    def __enter__(self):
        try:
            wait_until(lambda: "stopped" in (self.folder / "node.log").read_text())
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            raise

    def __exit__(self, *_):
        EdgeNode(self.folder).start().stop()


def test_a_node_that_is_not_ready_in_time_is_ended(tmp_path):
    node = EdgeNode(tmp_path)
    with pytest.raises(EdgeNodeError, match=r"not ready within 0\.01 s"):
        node.start(timeout=0.01)
    assert not node.is_alive


def test_nothing_of_the_package_imports_django():
    code = (
        "import sys, collections_admin.edge_node.process, collections_admin.edge_node.supervisor; "
        "sys.exit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_node_does_without_the_client_around_the_messages():
    code = (
        "import sys; from collections_admin.edge_node.__main__ import import_without_its_code; "
        "import_without_its_code('qdrant_client'); import collections_admin.edge_node.process; "
        "sys.exit('qdrant_client.async_qdrant_client' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_supervisor_alone_does_not_load_the_engine():
    code = "import sys, collections_admin.edge_node.supervisor; sys.exit('qdrant_edge' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_node_that_never_started_has_nothing_to_stop(tmp_path):
    node = EdgeNode(tmp_path)
    assert (node.pid, node.is_alive, node.stop(), node.returncode) == (None, False, None, None)
    node.kill()
