"""What ``bench.json`` is called by, and its JSON Schema; needs neither numpy nor scipy."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

FORMAT, VERSION = "whale-ready bench", 1
JSON = "bench.json"


def bench_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version's ``bench.json``."""
    text = resources.files("benchmarks").joinpath("bench.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
