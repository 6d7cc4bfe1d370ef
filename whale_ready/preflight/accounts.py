"""Who needs access to Whale, and the proof of it, from where the product takes it; made by reading.

The product makes an access token where a user has none. A preflight makes none: who has a name and
a password is logged in, which is enough for looking, and who has nothing in CTFd's table of tokens
is said to be untried. Only the probe, which writes, has a token made from a login.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.state.audit_log import container_events
from engines.state.database import connectable
from engines.whale.credentials import FileContent, authorization, nobody, read_credentials
from engines.whale.ctfd_tokens import CtfdTokens
from engines.whale.login import Login, TokenMaker
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import OUR_DATABASE, WHALES_DATABASE, PreflightSite, reading

LOGIN_TRIES = 5
"""CTFd takes ten logins in five seconds; after each ten we wait."""
NOBODY = FileContent({}, {})


class Accounts:
    """Credentials to look with (:class:`engines.whale.credentials.Credentials`).

    Raises:
        SettingsError: the file of credentials cannot be read or is wrong, or there is none.
        NotCheckable: CTFd's database cannot be asked.
    """

    def __init__(self, site: PreflightSite) -> None:
        self._site = site
        settings = site.settings
        self._table: CtfdTokens | None = None
        self._file = NOBODY
        if settings.whale_ctfd_database_url is not None:
            with reading(settings.whale_ctfd_database_url, WHALES_DATABASE):
                pass  # it can be asked, and asking made no file
            engine = connectable(settings.whale_ctfd_database_url)
            site.closing.callback(engine.dispose)
            self._table = CtfdTokens(engine, site.clock)
        elif settings.whale_tokens_file is not None:
            self._file = read_credentials(settings.whale_tokens_file)
        else:
            raise SettingsError("neither WHALE_TOKENS_FILE nor WHALE_CTFD_DATABASE_URL is set")
        self._maker = TokenMaker(site.client, lambda: site.now().date())
        self._sessions: dict[int, Mapping[str, str]] = {}

    @property
    def makes_tokens(self) -> bool:
        """Whether the product makes a token for a user who has none."""
        return self._table is not None

    def known(self) -> set[int]:
        """Users whom there are credentials for."""
        if self._table is not None:
            return set(self._table.holders())
        return {*self._file.tokens, *self._file.logins}

    def headers(self, user_id: int) -> Mapping[str, str]:
        """Headers to look with.

        Raises:
            WhaleFault: as :meth:`engines.whale.credentials.Credentials.headers`.
        """
        token = self._token(user_id)
        if token is not None:
            return authorization(token)
        login = self._file.logins.get(user_id)
        if login is None:
            raise nobody()
        if user_id not in self._sessions:
            self._sessions[user_id] = self._log_in(login)
        return self._sessions[user_id]

    def refresh(self, user_id: int) -> bool:
        """There are no others to try."""
        return False

    def token_to_write(self, user_id: int) -> str:
        """A token; made where there is a login only. Raises as :meth:`headers`."""
        token = self._token(user_id)
        if token is not None:
            return token
        login = self._file.logins.get(user_id)
        if login is None:
            raise nobody()
        return self._maker.make(login)

    def _token(self, user_id: int) -> str | None:
        if self._table is not None:
            return self._table.existing(user_id)
        return self._file.tokens.get(user_id)

    def _log_in(self, login: Login) -> Mapping[str, str]:
        for _ in range(LOGIN_TRIES - 1):
            try:
                return self._maker.log_in(login)
            except WhaleFault as fault:
                if fault.code is not Code.RATE_LIMITED:
                    raise
                self._site.pause(fault.retry_after or 0.0)
        return self._maker.log_in(login)


def players_seen(site: PreflightSite) -> set[int]:
    """Users who have called the own engine: whoever played before will play on Whale."""
    users = sa.select(container_events.c.user_id).distinct()
    try:
        with reading(site.settings.state_url, OUR_DATABASE) as connection:
            return {int(user) for user in connection.execute(users).scalars()}
    except NotCheckable:
        return set()  # the item about the audit log says what is wrong
