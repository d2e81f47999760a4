"""The start and end of a web process."""

import logging
from typing import Any

from collections_admin.embeddings import DEFAULT_MODEL, get_model
from collections_admin.qdrant.client import close_connections
from collections_admin.services import health
from dashboard.threads import KeptThreads

logger = logging.getLogger("console.web")


class Lifespan:
    def __init__(self, pages: KeptThreads) -> None:
        self.pages = pages

    async def __call__(self, _scope: dict, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._warm_up()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await close_connections()
                await self.pages.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _warm_up(self) -> None:
        """Load the local model and look at Qdrant once, so that the first visitor does not wait for either."""
        try:
            await get_model(DEFAULT_MODEL).embed_query("warm up")
            await health.check()
        except Exception:
            logger.exception("The local embedding model could not be loaded; searches will say so.")
