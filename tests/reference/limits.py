"""How often an account may start, and until when anything lives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass
class StartRate:
    """So many starts of one account within so long a window."""

    most: int
    """0 for any number."""
    window: timedelta
    starts: dict[str, list[datetime]] = field(default_factory=dict)
    """When each account has started, oldest first."""

    def count(self, account: str, now: datetime) -> None:
        self.starts.setdefault(account, []).append(now)

    def recent(self, account: str, now: datetime) -> list[datetime]:
        return [at for at in self.starts.get(account, ()) if at > now - self.window]

    def wait(self, account: str, now: datetime) -> float | None:
        """Seconds until the account may start again, or None when it may now."""
        recent = self.recent(account, now)
        if not self.most or len(recent) < self.most:
            return None
        return (recent[-self.most] + self.window - now).total_seconds()


@dataclass(frozen=True)
class End:
    """The moment after which nothing starts or lives; None for never."""

    at: datetime | None

    @classmethod
    def after(cls, seconds: int | None, now: datetime) -> End:
        return cls(None if seconds is None else now + timedelta(seconds=seconds))

    def passed(self, now: datetime) -> bool:
        return self.at is not None and self.at <= now

    def clip(self, moment: datetime) -> datetime:
        return moment if self.at is None else min(moment, self.at)
