"""A small world to try the fake with, for those who have none of their own."""

from __future__ import annotations

from .whale.world import Challenge, User, World

DEMO_WORLD = World(
    users=(
        User(1, "admin", "admin", "ctfd_demo_admin", type="admin"),
        User(2, "alice", "alice", "ctfd_demo_alice"),
        User(3, "bob", "bob", "ctfd_demo_bob"),
    ),
    challenges=(
        Challenge(1, "Web one"),
        Challenge(2, "Pwn one", category="pwn", redirect_type="direct"),
        Challenge(3, "Hidden one", state="hidden"),
        Challenge(4, "Broken one", image="nosuch/image:latest"),
    ),
    images=frozenset({"chal:1"}),
)
"""Users admin, alice and bob: the password is the name, the token ``ctfd_demo_`` and the name."""
