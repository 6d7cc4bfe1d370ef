"""Who we are to a Whale over https, and whom we trust: files that the settings name."""

from __future__ import annotations

from engines.errors import SettingsError
from engines.settings import Settings
from engines.whale.client import TlsIdentity


def identity_from(settings: Settings) -> TlsIdentity:
    """Certificates and key for the client.

    Raises:
        SettingsError: a file is not there; names the setting and the fix.
    """
    files = {
        "WHALE_CA_FILE": settings.whale_ca_file,
        "WHALE_CLIENT_CERTIFICATE_FILE": settings.whale_client_certificate_file,
        "WHALE_CLIENT_KEY_FILE": settings.whale_client_key_file,
    }
    for name, path in files.items():
        if path is not None and not path.is_file():
            raise SettingsError(f"{name}: there is no file {path}; write the path of a PEM file")
    return TlsIdentity(*files.values())
