"""What keeps containers from starting stands on the admin's pages and in the log, with the fix."""

from __future__ import annotations

import html
import socket
from pathlib import Path

from ctfd.site import Site


def test_a_docker_that_hangs_then_breaks_delays_nothing_and_is_told(
    ctfd: Path, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"
    settings_page = "/plugins/whale_ready/admin/settings"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        site = Site(tmp_path, environ={"CRE_DOCKER_HOST": f"unix://{path}"})
        try:
            before = site.admin.get(settings_page).text
            assert "not looked at yet" in before
            assert "Containers cannot start" not in before
            deaf.close()
            shown = html.unescape(site.admin.get(settings_page).text)
            assert "Containers cannot start" in shown
            assert f"what listens at {path} does not answer as Docker does" in shown
            assert "name Docker's own socket in CRE_DOCKER_HOST" in shown
            assert "gunicorn" in shown
            assert "(gevent)" in shown
            other = html.unescape(site.admin.get("/plugins/whale_ready/admin/instances").text)
            assert "Containers cannot start" in other
        finally:
            site.stop()
    log = site.log.read_text(errors="replace")
    assert log.count("containers cannot start: docker: ") == 1, log
