"""A small world to try the fake with, for those who have none of their own."""

from __future__ import annotations

from .whale.world import User, WhaleChallenge, WhaleWorld

DEMO_WORLD = WhaleWorld(
    users=(
        User(1, "admin", "admin", "ctfd_demo_admin", type="admin"),
        User(2, "alice", "alice", "ctfd_demo_alice"),
        User(3, "bob", "bob", "ctfd_demo_bob"),
    ),
    challenges=(
        WhaleChallenge(1, "Web one"),
        WhaleChallenge(2, "Pwn one", category="pwn", redirect_type="direct"),
        WhaleChallenge(3, "Hidden one", state="hidden"),
        WhaleChallenge(4, "Broken one", image="nosuch/image:latest"),
    ),
    images=frozenset({"chal:1"}),
)
"""Users admin, alice and bob: the password is the name, the token ``ctfd_demo_`` and the name."""
