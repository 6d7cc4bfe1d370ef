"""The checklist, in the order in which one thing stands on another.

The cleaner is watched before a probe takes its time: what is about to end ends meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conformance.spec.redaction import Secrets
from engines.errors import EngineError, WhaleFault
from whale_ready.preflight import (
    catalogue,
    connection,
    credentials,
    dialect,
    health,
    limits,
    machinery,
    own,
)
from whale_ready.preflight.items import Check, CheckFinding, Item, ItemState, NotCheckable
from whale_ready.preflight.site import PreflightSite

CHECKS: tuple[Check, ...] = (
    Check(
        "reachable",
        "Whale's CTFd answers",
        connection.reachable,
        "an HTTP answer of any kind to GET /healthcheck; where TLS fails, an open port",
        "correct the address; open the way in firewall and proxy; start CTFd",
    ),
    Check(
        "tls",
        "The way there is encrypted, and it is Whale at its end",
        connection.encrypted,
        "a TLS handshake with the CAs that the adapter trusts, and 14 days more; or plain http to "
        "this machine itself",
        "serve CTFd by https with a certificate for this name; name a CA of your own with "
        "WHALE_CA_FILE",
    ),
    Check(
        "clock",
        "Both clocks agree",
        connection.clocks,
        "the header Date of that answer, at most 5 s from our time (where a proxy stands before "
        "CTFd, it is the proxy's clock)",
        "run an NTP client on both machines",
    ),
    Check(
        "health",
        "CTFd's health check passes",
        health.health,
        "GET /healthcheck says OK: CTFd reaches its database and its cache, whichever that is (it "
        "asks them every 30 s at most)",
        "start the database and redis, and see CTFd's log",
    ),
    Check(
        "credentials",
        "Every account that needs it is let in, as itself",
        credentials.credentials,
        "GET /api/v1/users/me names the right user for each account of the file or table of "
        "credentials and for each user in our audit log; with --expected-players, for so many",
        "make a token on that user's settings page in CTFd and write it into WHALE_TOKENS_FILE",
    ),
    Check(
        "dialect",
        "Whale speaks what the adapter speaks",
        dialect.dialect,
        "a look as a player was answered in one of the dialects, the one of WHALE_DIALECT if that "
        "is set",
        "see that the plugin ctfd-whale is installed in the CTFd at this address",
    ),
    Check(
        "version",
        "CTFd is of the version that was measured",
        dialect.version,
        "CTFd's setting ctf_version is 3.8; of ctfd-whale itself nothing tells the version",
        "run whale-ready check --backend whale=URL with a few test accounts on this version",
    ),
    Check(
        "cleaner",
        "Whale's cleaner removes what has expired",
        health.cleaner,
        "an instance of one of our accounts that nothing of ours holds was gone within 20 s of its "
        "end, which a player may also have brought about",
        "restart CTFd, and see its log for the job that cleans every 10 s",
    ),
    Check(
        "challenges-visible",
        "Players may start the same challenges on both sides",
        catalogue.visibility,
        "a look as a player at each challenge of the catalogue",
        "set the challenge's state in CTFd, or visibility in the catalogue, so that both agree",
    ),
    Check(
        "challenges-images",
        "Both sides run the same images",
        catalogue.images,
        "Whale's table of challenges holds the catalogue's image for each, letter by letter",
        "correct the image on the challenge's admin page in CTFd, or in the catalogue",
    ),
    Check(
        "challenges-ports",
        "Both sides publish the same port",
        catalogue.ports,
        "the same table holds the catalogue's only port for each",
        "correct the port; Whale has one per challenge: run those with more on this site's Docker",
    ),
    Check(
        "challenges-limits",
        "Both sides give the same memory and CPU",
        catalogue.limits,
        "the same table holds the catalogue's memory and CPU for each",
        "correct the limits on the challenge's admin page in CTFd, or in the catalogue",
    ),
    Check(
        "time-out",
        "An instance lives equally long on both sides",
        limits.time_out,
        "CRE_TIMEOUT_SECONDS, WHALE_TIMEOUT_SECONDS and Whale's docker_timeout (else what a fresh "
        "instance of the probe had) are equal",
        "set all of them to the same number of seconds",
    ),
    Check(
        "renewals",
        "An instance may be renewed equally often on both sides",
        limits.renewals,
        "CRE_MAX_EXTENSIONS, WHALE_MAX_EXTENSIONS and Whale's docker_max_renew_count (else what "
        "the probe's instance took) are equal",
        "set all of them to the same number",
    ),
    Check(
        "capacity",
        "Whale admits as many instances as players are expected",
        limits.capacity,
        "docker_max_container_count is at least --expected-players, the one more not counted that "
        "a Whale since April 2026 admits; whether the swarm has room for them is not seen",
        "raise docker_max_container_count on Whale's settings page, and see that the swarm has "
        "room for one more than that",
    ),
    Check(
        "settings-page",
        "Whale works with the settings that were saved",
        health.settings_page,
        "Whale's setting refresh is false, as its settings page leaves it when it is opened after "
        "it was saved; or it was never set, and the probe's start was taken",
        "open Whale's settings page as an admin, and see that it shows no error: until then starts "
        "fail, or go by the old settings; with several workers restart CTFd too, as only the one "
        "that shows the page reads them again",
    ),
    Check(
        "orders",
        "Swarm and frpc take a start and a stop",
        health.orders,
        "the probe's POST and DELETE were answered as done",
        "Whale does not tell which of them refused: run docker service ls on the swarm's manager, "
        "and ask frpc's admin API as CTFd does",
    ),
    Check(
        "answers",
        "A fresh instance answers at its address",
        health.answers,
        "the probe's instance answered within WHALE_READY_SECONDS, and one of the other redirect "
        "type where such challenges are known: the swarm runs it and frp leads to it",
        "run docker service ps on the manager (image, node, limits); see that frps runs and its "
        "names resolve; set WHALE_PROBE_GATEWAY where they do not resolve here",
    ),
    Check(
        "counter-proof",
        "What is not there is not taken to answer",
        health.counter_proof,
        "an instance whose image does not exist, of each --probe-missing, did not answer within "
        "WHALE_READY_SECONDS; where Whale's database tells, both redirect types were tried",
        "see what answers in its place: a page of a proxy before frps, or a slow resolver (see "
        "resolver); until then players are told that instances started which did not",
    ),
    Check(
        "resolver",
        "frpc learns at once that a name does not exist",
        health.resolver,
        "a connection to the port of an instance without a container was closed within 80 % of "
        "WHALE_DIRECT_HOLD_SECONDS, after which a silent one counts as alive",
        "give frpc a resolver that can be reached (docker run --dns), or raise "
        "WHALE_DIRECT_HOLD_SECONDS above the slowest look-up",
    ),
    Check(
        "frpc-token",
        "frpc keeps its token",
        machinery.frpc_token,
        "the file that frpc was started with, read from its container by --whale-docker, after the "
        "probe's writes if there is a probe, holds a token; or frps' file holds none either",
        "write frps' token into [common] of frpc's file now: at its next restart frpc cannot log "
        "in; and set WHALE_PARALLEL_WRITES=1, as writes at the same moment lose it",
    ),
    Check(
        "frpc-restart",
        "frpc is back after Docker was restarted",
        machinery.frpc_restart,
        "the swarm runs frpc's container, or its restart policy is always or unless-stopped and "
        "none of its networks an overlay; and it is on the instances' network, where Whale's "
        "settings tell that",
        "run frpc as a service of the swarm, or have a unit of the host run docker start on it "
        "some seconds after Docker",
        needed=False,
    ),
    Check(
        "admin-list",
        "The admin's list of containers is usable",
        health.admin_list,
        "the list was answered, with containers in it, while one ran",
        "ctfd-whale's own answers 500 as soon as one runs: do not build on it, or have the plugin "
        "write its records as JSON",
        needed=False,
    ),
    Check(
        "isolation",
        "Two requests at once see each other's changes",
        health.isolation,
        "the database server's default is not REPEATABLE-READ, and of two renewals of the probe's "
        "that began before either wrote both were counted; one of the two must be known, none bad",
        "set transaction-isolation = READ-COMMITTED in the database server's configuration, and "
        "restart it: under REPEATABLE-READ starts at once leave containers that nobody stops",
    ),
    Check(
        "self-call",
        "CTFd works on a call while another one waits",
        health.self_call,
        "a look was answered while the probe's write waited for its lock",
        "run gunicorn with gevent (WORKER_CLASS=gevent) or with several workers: with a single "
        "one, an adapter inside Whale's own CTFd waits for itself",
    ),
    Check(
        "redis",
        "Whale's locks are held, by redis",
        health.redis,
        "the probe's write that followed a refusal was kept out by the lock that this had left; "
        "without redis Whale has no locks at all",
        "set REDIS_URL for CTFd and restart it: without locks a double click leaves a container "
        "that nobody stops, and two players get one port",
    ),
    Check(
        "workers",
        "Workers of CTFd do not write past each other",
        machinery.workers,
        "the processes of the container that runs gunicorn, by --whale-docker: one worker; or "
        "several, and the database server's default is not REPEATABLE-READ",
        "set transaction-isolation = READ-COMMITTED (see isolation); fewer workers alone do not "
        "help, as a gevent worker writes past itself too",
    ),
    Check(
        "parallel-writes",
        "Our writes come to Whale one at a time",
        own.parallel_writes,
        "WHALE_PARALLEL_WRITES is 1; who writes past us, on Whale's own page, is not seen",
        "set WHALE_PARALLEL_WRITES=1: writes at the same moment make frpc lose its token, refuse "
        "starts, and let more in than the limit says",
    ),
    Check(
        "audit",
        "The audit log can be written",
        own.audit,
        "a row was written into container_events and taken back again",
        "run whale-ready database upgrade; give the database's user INSERT, and room",
    ),
    Check(
        "fallback",
        "The own engine can take over",
        own.fallback,
        "ROLLOUT_FALLBACK is true, the engine answers, every image of the visible challenges that "
        "is not pulled at the start is there, and CRE_CAPACITY is enough for --expected-players",
        "start Docker, run whale-ready images pull, raise CRE_CAPACITY, set ROLLOUT_FALLBACK=true",
    ),
)


def run(
    site: PreflightSite,
    begins: Callable[[Check], None] = lambda _check: None,
    checks: Sequence[Check] = CHECKS,
) -> list[Item]:
    """Make every check; what goes wrong in one never stops the others.

    Args:
        begins: told before each.
    """
    items = []
    for check in checks:
        begins(check)
        items.append(_item(check, _finding(check, site)))
    return items


def _finding(check: Check, site: PreflightSite) -> CheckFinding:
    try:
        return check.look(site)
    except NotCheckable as error:
        return CheckFinding(ItemState.NOT_CHECKABLE, error.why, error.how or "see the items above")
    except WhaleFault as fault:
        said = f"Whale gave no answer that tells it ({fault.code.value})"
        return CheckFinding(ItemState.NOT_CHECKABLE, said, "see the items above, and run it again")
    except EngineError as error:
        return CheckFinding(ItemState.NOT_CHECKABLE, str(error), "put that right first")
    except Exception as error:  # noqa: BLE001 - one item that fails must not hide the others
        # Its text may quote anything.
        said = f"the check itself failed ({type(error).__name__})"
        return CheckFinding(
            ItemState.NOT_CHECKABLE, said, "please report it; look by hand meanwhile"
        )


def _item(check: Check, finding: CheckFinding) -> Item:
    clean = Secrets().clean
    fix = finding.fix or check.fix
    return Item(
        check.id,
        check.title,
        finding.state,
        clean(finding.evidence),
        "" if finding.state is ItemState.OK else clean(fix),
        check.needed,
    )
