"""A real sshd on loopback, and an ``ssh`` on PATH that knows its host key and has a key for it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.loopback import Program, free_port, listens

SSHD = "/usr/sbin/sshd"
FIX = "as root: install them (Debian: openssh-server, openssh-client and docker.io)"
_SEPARATION = Path("/run/sshd")
"""Where sshd of Debian locks itself in; made at boot by its service, which may never have run."""


def possible() -> bool:
    programs = (SSHD, "ssh", "ssh-keygen", "docker")
    return os.getuid() == 0 and all(shutil.which(program) for program in programs)


class SSHHost:
    """Lets in one key; ``bin`` is a folder to put before PATH."""

    def __init__(self) -> None:
        self.port = free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="whale-ready-test-"))
        self._made_separation = not _SEPARATION.exists()
        _SEPARATION.mkdir(mode=0o755, exist_ok=True)
        try:
            for name in ("host", "key"):
                self._key(name)
            self._program = Program(
                [SSHD, "-D", "-e", "-f", str(self._server_config())],
                self.folder / "log",
                lambda: listens(self.port),
            )
            self.bin = self._client("bin", f"[127.0.0.1]:{self.port} {self._public('host')}")
            self._key("other")
            self.impostor = self._client(
                "other", f"[127.0.0.1]:{self.port} {self._public('other')}"
            )
        except BaseException:  # Ctrl-C too; raised again
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def close(self) -> None:
        program = getattr(self, "_program", None)
        if program is not None:
            program.close()
        shutil.rmtree(self.folder)
        if self._made_separation:
            _SEPARATION.rmdir()

    def _key(self, name: str) -> None:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True)

    def _public(self, name: str) -> str:
        return (self.folder / f"{name}.pub").read_text()

    def _server_config(self) -> Path:
        (self.folder / "authorized_keys").write_text(self._public("key"))
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder / 'host'}\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\nPidFile none\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100\n"
            "PermitRootLogin prohibit-password\n"
        )
        return config

    def _client(self, name: str, known_host: str) -> Path:
        """A folder with an ``ssh`` that trusts one host key only."""
        folder = self.folder / f"{name}-path"
        folder.mkdir()
        (folder / "known_hosts").write_text(known_host)
        (folder / "config").write_text(
            f"IdentityFile {self.folder / 'key'}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {folder / 'known_hosts'}\nGlobalKnownHostsFile none\n"
            "StrictHostKeyChecking yes\n"
        )
        wrapper = folder / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "config"} "$@"\n')
        wrapper.chmod(0o755)
        return folder
