"""What is done around CTFd's import; the import itself is in tests/ctfd/."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import Pool
from support.servers import MariaDB

from engines.ctfd.imports import BROKE_OFF, DONE, around_import
from engines.state.database import Database


def test_no_connection_hangs_up_while_ctfd_ends_those_that_sleep(mariadb: MariaDB) -> None:
    """CTFd lists them and kills one after the other; an import broke off at "Unknown thread id"."""
    url = mariadb.create()
    closed: list[object] = []

    def seen(connection: object, _record: object) -> None:
        closed.append(connection)

    sa.event.listen(Pool, "close", seen)
    try:
        with around_import(url):
            assert closed == []
            killer = sa.create_engine(url, isolation_level="AUTOCOMMIT", future=True)
            with killer.connect() as connection:
                mine = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
                listed = connection.exec_driver_sql("SHOW PROCESSLIST").all()
                name = sa.engine.make_url(url).database
                asleep = [row[0] for row in listed if row[3] == name and row[0] != mine]
                assert asleep != []
                for number in asleep:
                    connection.exec_driver_sql(f"KILL {number}")
        assert closed != []
    finally:
        sa.event.remove(Pool, "close", seen)
    killer.dispose()
    database = Database(url)
    assert database.schema_faults() == []
    database.close()


def test_an_import_that_breaks_off_is_not_said_to_be_over(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), around_import(str(database.engine.url)):
        raise ZeroDivisionError
    assert BROKE_OFF in caplog.messages
    assert DONE not in caplog.messages
    with around_import(str(database.engine.url)):
        pass
    assert DONE in caplog.messages
