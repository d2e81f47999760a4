"""LISTEN on PostgreSQL for as long as somebody wants to hear, through restarts of the server."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

LONGEST_PAUSE = 5.0  # seconds between attempts to connect

logger = logging.getLogger(__name__)


async def listen(channel: str) -> AsyncIterator[str | None]:
    """The payloads sent to the channel; None after each start of listening: earlier ones were missed."""
    pause = 0.2
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**_parameters(), autocommit=True) as listener:
                await listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                pause = 0.2
                yield None
                async for notice in listener.notifies():
                    yield notice.payload
        except (psycopg.Error, OSError) as error:
            logger.info("Listening to %s is interrupted, next attempt in %.1f s: %s", channel, pause, error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _parameters() -> dict[str, Any]:
    ours = ("dbname", "user", "password", "host", "port", "sslmode", "service", "passfile", "options")
    known = connection.get_connection_params()
    return {name: known[name] for name in ours if known.get(name)}
