"""The state of Qdrant for the header and for /health/."""

import asyncio
from time import perf_counter

import grpc
import pytest
from qdrant_client import grpc as pb

from collections_admin import qdrant as access
from collections_admin.errors import InvalidInput
from tests.qdrant.faulty_server import FaultyServer, answers, fails, hangs


def _version(number: str) -> pb.HealthCheckReply:
    return pb.HealthCheckReply(title="qdrant", version=number)


async def test_the_real_node_is_well(proxied: FaultyServer) -> None:
    health = await access.check_health()
    assert (health.ok, health.message, health.skew, health.since) == (True, "", "", None)
    assert health.round_trip_ms > 0
    assert health.version


@pytest.mark.parametrize("version", ["1.19.3", "1.20.0", "1.21.9"])
async def test_one_minor_version_either_way_is_fine(faulty: FaultyServer, version: str) -> None:
    faulty.behaviours["HealthCheck"] = answers(_version(version))
    assert (await access.check_health()).skew == ""


@pytest.mark.parametrize("version", ["1.18.0", "1.22.0", "2.20.0", "nonsense", ""])
async def test_a_version_too_far_away_gets_a_banner(faulty: FaultyServer, version: str) -> None:
    faulty.behaviours["HealthCheck"] = answers(_version(version))
    health = await access.check_health()
    assert health.ok
    assert "more than one minor version away" in health.skew


async def test_a_qdrant_that_is_gone_is_named_with_the_time(faulty: FaultyServer) -> None:
    faulty.behaviours["HealthCheck"] = answers(_version("1.20.0"))
    assert (await access.check_health()).ok
    await faulty.stop()
    health = await access.check_health()
    assert not health.ok
    assert health.message.startswith(f"Qdrant does not answer at 127.0.0.1:{faulty.port} since ")
    assert health.since is not None


async def test_a_refusing_qdrant_is_not_well(faulty: FaultyServer) -> None:
    faulty.behaviours["HealthCheck"] = fails(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key")
    health = await access.check_health()
    assert not health.ok
    assert "refuses the API key: Invalid API key" in health.message


async def test_pages_do_not_wait_for_a_frozen_qdrant(faulty: FaultyServer) -> None:
    faulty.behaviours["HealthCheck"] = hangs
    started = perf_counter()
    health = await access.last_health()
    assert health.ok is None
    assert perf_counter() - started < 1, "the check itself has two seconds"


async def test_many_pages_ask_once(faulty: FaultyServer) -> None:
    faulty.behaviours["HealthCheck"] = answers(_version("1.20.0"))
    found = await asyncio.gather(*(access.last_health() for _ in range(20)))
    assert {health.ok for health in found} == {True}
    assert faulty.calls == ["HealthCheck"]
    await access.last_health()
    assert faulty.calls == ["HealthCheck"]


async def test_an_old_state_is_shown_and_refreshed_behind(faulty: FaultyServer) -> None:
    faulty.behaviours["HealthCheck"] = answers(_version("1.20.0"))
    assert (await access.last_health()).ok
    faulty.behaviours["HealthCheck"] = fails(grpc.StatusCode.UNAVAILABLE)
    assert (await access.last_health(max_age_s=0)).ok, "the page does not wait for the new state"
    async with asyncio.timeout(10):
        while (await access.last_health(max_age_s=0)).ok:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://qdrant:6333", "qdrant", 6333, False),
        ("https://x.cloud.example", "x.cloud.example", 6400, True),
        ("qdrant:7000", "qdrant", 7000, False),
        ("http://[::1]:6333", "::1", 6333, False),
    ],
)
def test_the_settings_name_the_server(settings: object, url: str, host: str, port: int, *, tls: bool) -> None:
    settings.QDRANT_URL, settings.QDRANT_PORT, settings.QDRANT_TIMEOUT = url, 6400, 77
    config = access.QdrantConfig.from_settings()
    assert (config.host, config.port, config.tls, config.bulk_deadline_s) == (host, port, tls, 77)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port", "http://[::1"])
def test_a_wrong_address_names_the_setting(settings: object, url: str) -> None:
    settings.QDRANT_URL = url
    with pytest.raises(InvalidInput) as caught:
        access.QdrantConfig.from_settings()
    assert caught.value.field == "QDRANT_URL"
