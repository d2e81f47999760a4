"""Sockets that tell a page which jobs changed. They say nothing but hints; pages read the state over HTTP."""

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from enum import IntEnum
from importlib import import_module
from typing import Any

from channels.auth import get_user
from channels.db import aclose_old_connections
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from collections_admin.access import role_in
from collections_admin.jobs import changes
from collections_admin.models import Job

RECHECK_SECONDS = 45.0
LARGEST_ID = 2**62  # beyond what a database takes, an address is merely unknown
MESSAGES_ALLOWED = 100  # a page sends none

logger = logging.getLogger(__name__)


class Close(IntEnum):
    TOO_TALKATIVE = 4400
    SIGN_IN = 4401
    NOT_FOUND = 4404  # missing and foreign alike


class TenantJobsConsumer(AsyncJsonWebsocketConsumer):
    """/ws/tenants/<id>/jobs/: hints about every job of the tenant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stack = AsyncExitStack()
        self._received = 0
        self._dismissed = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Clean up also when the socket ends by an error, which `disconnect` is not told of."""
        async with self._stack:
            await super().__call__(scope, receive, send)

    async def connect(self) -> None:
        await self.accept()  # a refusal before this has no code that a browser could read
        refusal = await self._refusal()
        if refusal:
            await self._dismiss(refusal)
            return
        for group in self.groups_wanted():
            await self.channel_layer.group_add(group, self.channel_name)
            self._stack.push_async_callback(self.channel_layer.group_discard, group, self.channel_name)
        await self._stack.enter_async_context(changes.watching(self.tenant_id))
        self._stack.callback(asyncio.create_task(self._recheck()).cancel)
        await self.send_json({"type": "ready"})

    async def receive(self, **_frame: Any) -> None:
        """Frames are counted, not read."""
        self._received += 1
        if self._received > MESSAGES_ALLOWED:
            await self._dismiss(Close.TOO_TALKATIVE)

    async def job_news(self, event: dict[str, Any]) -> None:
        if not self._dismissed:
            await self.send_json(event["message"])

    @property
    def tenant_id(self) -> int:
        return min(self.scope["url_route"]["kwargs"]["tenant_id"], LARGEST_ID)

    def groups_wanted(self) -> list[str]:
        return [changes.tenant_group(self.tenant_id)]

    async def may_see(self, user: Any) -> bool:
        return bool(await role_in(user, self.tenant_id))

    async def _refusal(self) -> Close | None:
        # The session is read anew: the one in the scope still holds what a sign-out has deleted.
        store = import_module(settings.SESSION_ENGINE).SessionStore(self.scope["session"].session_key)
        user = await get_user({"session": store})
        if not user.is_authenticated:
            return Close.SIGN_IN
        return None if await self.may_see(user) else Close.NOT_FOUND

    async def _recheck(self) -> None:
        refusal = None
        while refusal is None:
            await asyncio.sleep(RECHECK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the queries
            try:
                refusal = await self._refusal()
            except DatabaseError as error:  # no news come from an absent database either
                logger.warning("The access of a socket could not be checked: %s", error)
            await aclose_old_connections()
        await self._dismiss(refusal)

    async def _dismiss(self, code: Close) -> None:
        if not self._dismissed:
            self._dismissed = True
            await self.close(int(code))


class JobConsumer(TenantJobsConsumer):
    """/ws/tenants/<id>/jobs/<uuid>/: hints about one job."""

    def groups_wanted(self) -> list[str]:
        return [changes.job_group(self.tenant_id, self.job_id)]

    @property
    def job_id(self) -> Any:
        return self.scope["url_route"]["kwargs"]["job_id"]

    async def may_see(self, user: Any) -> bool:
        if not await super().may_see(user):
            return False
        return await Job.objects.filter(pk=self.job_id, tenant_id=self.tenant_id).aexists()


class NowhereConsumer(AsyncJsonWebsocketConsumer):
    """Every other address."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(int(Close.NOT_FOUND))
