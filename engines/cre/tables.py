"""The engine's table of instances."""

from __future__ import annotations

from engines.state.instances import instance_table

cre_instances = instance_table("cre_instances", per_user=False)
