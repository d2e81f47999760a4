"""Since when a Qdrant does not answer, so that a notice can name the time. One per process and address."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

logger = logging.getLogger(__name__)

ESTABLISHED_S = 3.0


@dataclass(slots=True)
class Outage:
    """`since` is the first failure after the last success, None while Qdrant answers."""

    address: str
    since: datetime | None = None

    def failed(self, reason: str) -> None:
        if self.since is None:
            self.since = datetime.now(tz=UTC)
            logger.warning("Qdrant at %s: %s", self.address, reason)

    def answered(self) -> None:
        if self.since is not None:
            lasted = (datetime.now(tz=UTC) - self.since).total_seconds()
            logger.warning("Qdrant at %s answers again after %.1f s", self.address, lasted)
            self.since = None

    def is_established(self) -> bool:
        """Old enough that a page should not wait and try as if it were news."""
        return self.since is not None and (datetime.now(tz=UTC) - self.since).total_seconds() > ESTABLISHED_S

    def clause(self) -> str:
        """`" since 12:04:10"` in local time, or nothing when Qdrant answered until now."""
        return f" since {self.since.astimezone():%H:%M:%S}" if self.since else ""


_outages: dict[str, Outage] = {}


def outage_of(address: str) -> Outage:
    return _outages.setdefault(address, Outage(address))
