"""``whale-ready worker`` next to a real CTFd, on its database and on real Docker.

Sources: CTFd/CTFd#1386, jonschipp/ISLET#69.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

from ctfd.conftest import swept
from ctfd.site import Site
from ctfd.test_identity import World


def test_it_ends_what_was_deleted_while_ctfd_is_down(
    ctfd: Path, docker_image: str, tmp_path: Path
) -> None:
    from conftest import require

    require("docker", bool(docker_image), "start a Docker engine (as root: dockerd)")
    deployment = f"ctfd-{secrets.token_hex(4)}"
    environ = {"CRE_DEPLOYMENT": deployment}

    def worker() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "whale_ready", "worker", "--once"],
            env={**site.environ, "CONTAINER_DATABASE_URL": site.environ["DATABASE_URL"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    with swept(deployment):
        site = Site(tmp_path, environ=environ)
        world = World(site, teams=False)
        try:
            number = site.challenge("Web", container_image=docker_image)
            gone, stays = world.player(), world.player()
            assert gone.start(number) == stays.start(number) == "ok"
            flag = str(world.execute(_FLAG, user=gone.user)[0][0])
            site.stop()
            assert "not that of a CTFd" not in worker()
            assert len(world.execute("SELECT 1 FROM cre_instances")) == 2
            world.execute("DELETE FROM users WHERE id = :user", user=gone.user)
            worker()
            assert world.execute("SELECT user_id FROM cre_instances") == [(stays.user,)]
            [(row,)] = world.execute(_ORPHANED)
            assert json.loads(row)["reason"] == "its account is gone"
            assert flag not in row
        finally:
            world.database.close()
            site.stop()


_ORPHANED = "SELECT metadata FROM container_events WHERE action = 'orphaned'"
_FLAG = "SELECT flag FROM cre_instances WHERE user_id = :user"
