"""All rules of an answer, those that weigh most first; docs/readiness.md has the same table."""

from __future__ import annotations

from whale_ready.readiness.blockers import BAD_NEWS
from whale_ready.readiness.missing_evidence import GAPS

RULES = (*BAD_NEWS, *GAPS)
