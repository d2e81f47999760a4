"""The audit trail: who changed what, or was refused. Rows are only ever added."""

from typing import Any

from collections_admin.concurrency import in_transaction
from collections_admin.models import AuditEvent, Tenant, User

_ACTION_CHARS, _TARGET_CHARS = 60, 255  # of the model


def record(
    user: User | None,
    tenant: Tenant | None,
    action: str,
    target: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    refused: bool = False,
) -> AuditEvent:
    """Add a row within the caller's transaction: no change without its trace, no trace without its change.

    `action` is noun.verb (`collection.delete`); `before` and `after` hold what changed, as JSON, without secrets.
    """
    return AuditEvent.objects.create(
        user=user,
        user_email=user.email if user else "",
        tenant=tenant,
        action=action[:_ACTION_CHARS],
        target=target[:_TARGET_CHARS],
        before=before,
        after=after,
        refused=refused,
    )


record_event = in_transaction(record)


async def record_refusal(user: User, tenant: Tenant, action: str, target: str) -> None:
    """Somebody who may see a tenant tried what the role does not allow."""
    await record_event(user, tenant, action, target, refused=True)
