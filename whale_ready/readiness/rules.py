"""All rules of an answer, those that weigh most first; docs/readiness.md has the same table."""

from __future__ import annotations

from whale_ready.readiness.bad_news import BAD_NEWS
from whale_ready.readiness.gaps import GAPS

RULES = (*BAD_NEWS, *GAPS)
