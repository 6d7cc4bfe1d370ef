"""A Docker engine of our own that lets in only who has a certificate of its CA."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import trustme

from support.loopback import Program

FIX = "as root: install Docker and util-linux (Debian: docker.io, util-linux)"
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp("unshare", ["unshare", "--net", *sys.argv[2:]])
"""
"""Hands dockerd a socket as systemd does; ``exec`` keeps the pid."""


def possible() -> bool:
    return os.getuid() == 0 and all(shutil.which(each) for each in ("dockerd", "unshare"))


def write_certificates(folder: Path, trusted: trustme.CA, ours: trustme.LeafCert) -> Path:
    """Write ca.pem, cert.pem and key.pem; returns the folder."""
    folder.mkdir()
    trusted.cert_pem.write_to_path(folder / "ca.pem")
    ours.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ours.private_key_pem.write_to_path(folder / "key.pem")
    return folder


class TLSEngine:
    """Listens on loopback and runs no containers.

    It lives in a network namespace of its own, for a second dockerd is no guest: started with
    ``--bridge=none`` it deletes the ``docker0`` of the machine's own engine. The listening socket
    is made here, outside, and handed over.
    """

    def __init__(self) -> None:
        self.ca = trustme.CA()
        # Short: the path of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="wr-tls-", dir="/var/tmp"))
        mine = write_certificates(self.folder / "c", self.ca, self.ca.issue_cert("127.0.0.1"))
        (self.folder / "daemon.json").write_text("{}")
        log = self.folder / "log"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
            try:
                self._program = Program(
                    [
                        *(sys.executable, "-c", _ACTIVATE, str(listener.fileno())),
                        *("dockerd", f"--config-file={self.folder / 'daemon.json'}"),
                        *("--host=fd://", "--tlsverify", f"--tlscacert={mine / 'ca.pem'}"),
                        *(f"--tlscert={mine / 'cert.pem'}", f"--tlskey={mine / 'key.pem'}"),
                        *(f"--data-root={self.folder / 'd'}", f"--exec-root={self.folder / 'x'}"),
                        *(f"--pidfile={self.folder / 'pid'}", "--storage-driver=vfs"),
                        *("--iptables=false", "--ip6tables=false"),
                    ],
                    log,
                    lambda: "API listen on" in log.read_text(errors="replace"),
                    pass_fds=(listener.fileno(),),
                )
            except BaseException:  # Ctrl-C too; raised again
                shutil.rmtree(self.folder, ignore_errors=True)
                raise

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._program.close()
        shutil.rmtree(self.folder, ignore_errors=True)
