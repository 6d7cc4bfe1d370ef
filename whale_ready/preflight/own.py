"""Our own side: is the audit log written, and can the own engine take over?"""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from engines.audit import Action, ContainerEvent
from engines.catalog import Pull
from engines.contract import Code
from engines.errors import BackendUnavailable, EngineError
from engines.state import schema
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from whale_ready.preflight.items import CheckFinding, NotCheckable, listed, not_ok, ok
from whale_ready.preflight.site import OUR_DATABASE, PreflightSite, reading

PREFLIGHT = "preflight"


def audit(site: PreflightSite) -> CheckFinding:
    """Whether a row can be written into ``container_events``; it is taken back again."""
    url = site.settings.state_url
    try:
        with reading(url, OUR_DATABASE) as connection:
            found = schema.version(connection.engine)
    except NotCheckable as error:
        return not_ok(error.why, f"{error.how}; whale-ready database upgrade makes the tables")
    if found != schema.HEAD:
        return not_ok(f"its tables are of version {found or 'none'}, not {schema.HEAD}")
    database = Database(url)
    try:
        log = AuditLog(database)
        event = ContainerEvent(
            site.now(), PREFLIGHT, 0, None, 0, Action.START_FAILED, Code.INTERNAL, 0
        )
        with database.engine.connect() as connection:
            log.append(connection, event)
            connection.rollback()
    except SQLAlchemyError as error:
        return not_ok(f"a row of container_events cannot be written ({type(error).__name__})")
    finally:
        database.close()
    return ok(f"a row was written into container_events, version {found}, and taken back")


def parallel_writes(site: PreflightSite) -> CheckFinding:
    """Whether our own writes come to Whale one by one."""
    places = site.settings.whale_parallel_writes
    said = f"WHALE_PARALLEL_WRITES is {places}"
    if places == 1:
        return ok(f"{said}: our writes are at Whale one at a time")
    return not_ok(f"{said}: " + (f"up to {places}" if places else "any number") + " at once")


def fallback(site: PreflightSite) -> CheckFinding:
    """Whether the own engine could take over at once."""
    settings = site.settings
    if not settings.rollout_fallback:
        return not_ok("ROLLOUT_FALLBACK is false: while Whale is down nothing starts")
    expected = site.wishes.expected_players
    if expected is not None and expected > settings.cre_capacity:
        return not_ok(f"CRE_CAPACITY is {settings.cre_capacity}; {expected} players are expected")
    wanted = sorted(
        {
            image
            for spec in site.catalogue()
            if spec.startable and spec.pull is Pull.NEVER
            for image in spec.images
        }
    )
    try:
        runtime = site.runtime(settings)
        try:
            runtime.find(PREFLIGHT)  # nothing has this name; that it is looked for is the point
            versions = runtime.versions()
            missing = [image for image in wanted if runtime.image_id(image) is None]
        finally:
            runtime.close()
    except BackendUnavailable as error:
        return not_ok(f"this site's Docker cannot be asked: {error}")
    except EngineError as error:
        return not_ok(str(error))
    if missing:
        return not_ok(f"images that are not here: {listed(missing)}", "whale-ready images pull")
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    return ok(f"this site's Docker answers ({said}), and all of {len(wanted)} images are there")
