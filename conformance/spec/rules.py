"""The rules of the instance contract: the list that document and scenarios must equal.

``docs/contract.md`` holds the same ids and sentences in their context; every rule has exactly one
scenario in ``conformance/scenarios``. A test keeps the three equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SPEC_VERSION = 3
"""Version of the contract these rules belong to; stands in every report.

A rule that asks more of every backend comes with the next version (:attr:`Rule.since`), so that a
backend which was checked against an older one does not break by surprise.
"""

CORE = frozenset(
    {"START", "EXTEND", "STOP", "STATUS", "EXPIRY", "ACCOUNT", "FLAG", "AUDIT", "INPUT", "REACH"}
)
"""Groups of the profile ``core``: what a call site can tell. ``full`` has all groups."""


class Level(str, Enum):
    """How binding a rule is."""

    MUST = "must"
    """A backend that breaks it cannot stand in for another one."""
    SHOULD = "should"
    """Breaking it harms players or organisers, but not the call sites."""


@dataclass(frozen=True)
class Rule:
    """One sentence of the contract."""

    id: str
    title: str
    level: Level = Level.MUST
    since: int = 1
    """Version of the contract that it came with."""

    @property
    def group(self) -> str:
        """The part of the id before the dash: ``START``."""
        return self.id.partition("-")[0]


class Profile(str, Enum):
    """Which of the rules a run is about."""

    CORE = "core"
    FULL = "full"


def _rules(group: str, *titles: str, since: int = 1, start: int = 1) -> list[Rule]:
    """Rules of one group; ``start`` is the number of the first, where a later version adds some."""
    return [
        Rule(f"{group}-{number:03}", title, since=since)
        for number, title in enumerate(titles, start=start)
    ]


RULES: tuple[Rule, ...] = (
    *_rules(
        "START",
        "A start with no live instance returns True, code OK and an instance with every key of "
        "the status.",
        "A fresh instance has its whole life ahead of it and no extension used.",
        "A second start returns True, code ALREADY_RUNNING and the same instance: same container, "
        "same address, same expiry.",
        "A second start makes no second container.",
        "A second start late in the instance's life does not renew it.",
        "A start beyond the account's limit returns False and code LIMIT_REACHED.",
        "The refusal at the account's limit names the challenge that is running.",
        "A start refused at the account's limit leaves the running instance as it was.",
        "A start of an unknown challenge returns False and code CHALLENGE_UNAVAILABLE.",
        "A start of a hidden challenge returns False and code CHALLENGE_UNAVAILABLE.",
        "A start whose image is missing returns False with a code of its own and leaves nothing "
        "behind.",
        "A start whose image is missing does not stand in the way of the next start.",
        "A start whose container exits at once returns False with a code of its own and leaves "
        "nothing behind.",
        "A start whose container exits at once does not stand in the way of the next start.",
        "A start when the whole system is full returns False and code CAPACITY, and harms nobody.",
        "A stop frees the place it held in a full system.",
        "An account with a limit of two may have two challenges live at once.",
        "The instance a start returns is the one that status tells of.",
        "A start returns a tuple of bool, str and dict that carries code, retry_after and "
        "definite.",
        "A start while the backend's own server is out of reach returns False and code "
        "UNAVAILABLE.",
        "A start that failed in an outage leaves nothing behind, and a later start works.",
        "A stop frees the account for another challenge.",
    ),
    *_rules(
        "EXTEND",
        "An extend of a live instance returns True, code OK, and counts one extension more.",
        "An additive extend moves the expiry later by exactly the declared step.",
        "A resetting extend sets the remaining time back to the full time-out.",
        "An extend right after the start never moves the expiry earlier.",
        "An extend in the middle of the life never moves the expiry earlier.",
        "As many extends succeed as the backend declares.",
        "An extend beyond the declared number returns False and code EXTENSION_LIMIT.",
        "An extend refused at the limit changes neither expiry nor count.",
        "An extend with nothing live returns False and code NOT_FOUND.",
        "An extend while only another challenge is live returns False, code NOT_FOUND, and leaves "
        "the other as it was.",
        "An extend keeps container, address and start time.",
        "An extend of a stopped instance returns False and code NOT_FOUND.",
        "An extend while the backend's own server is out of reach returns False and code "
        "UNAVAILABLE.",
        "An extend that failed in an outage changed nothing.",
        "A new instance begins with no extension used, whatever the one before it had.",
    ),
    *_rules(
        "EXTEND",
        "The last extension in the last minute of an instance's time is granted, and gives as "
        "much as any other.",
        since=3,
        start=16,
    ),
    *_rules(
        "STOP",
        "A stop of a live instance returns True and code OK, and status is None afterwards.",
        "A stop removes the container.",
        "A start after a stop makes a new instance.",
        "A stop with nothing live returns False and code NOT_FOUND.",
        "A stop while only another challenge is live returns False and code NOT_FOUND.",
        "A stop of one challenge never stops another one.",
        "A second stop returns False and code NOT_FOUND.",
        "A stop with auto_cleanup removes the instance like any other stop.",
        "A stop with auto_cleanup is audited as expired, not as stopped.",
        "A repeated stop with auto_cleanup does no harm and writes no second expired event.",
        "A stop with auto_cleanup never touches another challenge's instance.",
        "A stop while the backend's own server is out of reach returns False and code UNAVAILABLE.",
        "An instance whose stop failed in an outage stays known, and can be stopped later.",
        "A stop of one of two live challenges leaves the other as it was.",
        "Extend and stop return a tuple of bool and str that carries code, retry_after and "
        "definite.",
    ),
    *_rules(
        "STOP",
        "What others hold on to of an instance, as a network with something of theirs on it, "
        "keeps neither its stop nor the account's next starts.",
        start=16,
        since=3,
    ),
    *_rules(
        "STATUS",
        "The status of a live instance has every key of the contract with the right type.",
        "The status is None when nothing was started.",
        "The status of a challenge is None while another one is live.",
        "The remaining time falls with the clock.",
        "The remaining time is what lies between now and the expiry.",
        "The remaining time never grows by itself and lies between 0 and the time-out.",
        "Container, address, start and expiry are the same at every look.",
        "Start and expiry are written in ISO 8601, in UTC.",
        "The status tells the declared number of extensions.",
        "The status names the challenge that was asked for and the backend that answered.",
        "An instance whose container was removed behind the backend's back is not live.",
        "A start works after a container was removed behind the backend's back.",
        "An instance whose container died is not live.",
        "A start works after a container died.",
        "A status that cannot be asked raises BackendUnavailable and never says None.",
        "An instance is still known, as it was, when the outage is over.",
    ),
    *_rules(
        "STATUS",
        "A container that has taken the place of an instance's own is not told of as that "
        "instance.",
        since=3,
        start=17,
    ),
    *_rules(
        "EXPIRY",
        "At its expiry an instance is not live, whether or not the worker has run.",
        "Shortly before its expiry an instance is live.",
        "An extend of an expired instance returns False and code NOT_FOUND.",
        "A stop of an expired instance returns False and code NOT_FOUND.",
        "A start after the expiry makes a new instance, whether or not the worker has run.",
        "An expired instance does not count towards the account's limit.",
        "The worker removes the container of an expired instance.",
        "An expired instance is audited as expired once, however often the worker runs.",
        "The worker leaves live instances alone.",
        "An extended instance outlives its old expiry.",
        "An extended instance ends at its new expiry.",
        "An instance that cannot be removed does not hold up the others.",
        "An instance that could not be removed is removed by a later round.",
        "The address no longer answers once the worker has removed an expired instance.",
        "The cleanup worker stops for good when it is told to.",
        "The worker frees the places of expired instances in a full system.",
        "An expired instance that a new start replaces is audited as expired once.",
    ),
    *_rules(
        "EXPIRY",
        "The worker removes nothing that another database made under the same deployment's name.",
        "A worker that finds what another database made under its deployment's name says so in the "
        "log.",
        start=18,
        since=3,
    ),
    *_rules(
        "ACCOUNT",
        "Two accounts have an instance of their own of the same challenge.",
        "A player never sees another account's instance.",
        "A player never extends another account's instance.",
        "A player never stops another account's instance.",
        "One account's limit is not used up by another's instance.",
        "Team mates see the same instance, whoever started it.",
        "A start by a team mate returns the team's live instance with code ALREADY_RUNNING.",
        "A team mate may extend the team's instance.",
        "A team mate may stop the team's instance.",
        "Team mates share one limit.",
        "A user who plays without a team does not see the team's instance.",
        "A player who changes team loses sight of the old team's instance at once.",
        "The team mates of a player who left keep their instance as it was.",
        "A player who joins another team gets that team's instance.",
        "Two teams have instances of their own.",
        "A team and a user of the same number are different accounts.",
    ),
    *_rules(
        "ACCOUNT",
        "Who gets a deleted account's number does not see, extend or stop its instance.",
        "Who gets a deleted account's number starts an instance of their own at once.",
        "What a deleted account has left is ended by the worker's next round, and audited once as "
        "orphaned.",
        "Who plays a challenge that has a deleted one's number does not see, extend or stop an "
        "instance of that one.",
        "Who plays a challenge that has a deleted one's number starts an instance of it at once.",
        "What a deleted challenge has left is ended by the worker's next round, and audited once "
        "as orphaned.",
        "What a deleted account has left does not count towards the limit of who gets its number.",
        "What an account has left that was deleted in an outage is ended by a later round of the "
        "worker, audited once as orphaned.",
        "Who gets a deleted team's number does not see, extend or stop its instance, and starts "
        "one of their own at once.",
        "Of two sites with one deployment's name and a database each, neither's calls touch the "
        "other's instance of an account with the same number.",
        "What is last known of a team's instance is told to each of the team, as status tells "
        "of it, and to nobody else.",
        "A start of a user who is not let in returns False and code UNAUTHENTICATED, makes "
        "nothing, and keeps nobody else from a start.",
        "An instance whose user is not let in any more is never told as gone, and is as it was "
        "once the user is let in again.",
        start=17,
        since=3,
    ),
    *_rules(
        "FLAG",
        "FLAG in the container is the flag that was recorded for the instance.",
        "Two accounts have different flags for the same challenge.",
        "A new instance has a new flag.",
        "An extend keeps the flag.",
        "A second start keeps the flag.",
        "Team mates are judged by the same flag.",
        "The flag never stands in a message, a returned instance or a status.",
        "The flag never stands in the audit log.",
        "The flag never stands in the program's log.",
    ),
    *_rules(
        "FLAG",
        "After a stop the flag still counts for its account, for the declared grace time.",
        "After a crash that was noticed the flag still counts for its account, for that time too.",
        "A deleted account's flag does not count for who gets its number.",
        "A deleted challenge's flag does not count for the challenge that gets its number.",
        "After a stop the flag counts until the declared grace time is over, and no longer.",
        "After its expiry an instance's flag counts until the grace time is over, and no longer, "
        "whether or not the worker has run.",
        "Beside a new instance's flag that of the one before it counts until its grace time is "
        "over, and no longer.",
        "A challenge that reads its flag from a file finds it there, and not in FLAG.",
        "A team's flag is recorded for each of the team, and for nobody who is not in it.",
        start=10,
        since=3,
    ),
    *_rules(
        "AUDIT",
        "A start is audited once as started, with user, challenge, code and backend.",
        "An extend is audited once as extended, with the old and the new expiry.",
        "A stop is audited once as stopped.",
        "A refused start is audited once as start_failed, with the code that was returned.",
        "A refused extend is audited once as extend_failed, with the code that was returned.",
        "A refused stop is audited once as stop_failed, with the code that was returned.",
        "A second start is audited as start_repeated, never as started.",
        "A status writes no event.",
        "A call with invalid arguments writes no event.",
        "Events stand in the order of the calls.",
        "Every event carries a duration of 0 ms or more.",
        "The time of an event is in UTC and agrees with the instance it tells of.",
        "The metadata of every event is JSON.",
        "Events name the team when there is one.",
        "The event of an expiry names who had started the instance.",
        "An event that was written is never changed, but for how many equal refusals it tells of "
        "and when the last came.",
        "A call that failed in an outage is audited as failed, with code UNAVAILABLE.",
    ),
    *_rules(
        "AUDIT",
        "The event of a start whose container failed says why, in words that the answer does not "
        "hold.",
        "The event of a lost instance says why: of a container that died something else than of "
        "one that was removed.",
        "Refused calls that repeat are all told: by an event each, or by one that says how many "
        "they were and when the last came.",
        "A change has an event of its own, however soon an equal one follows; only refusals are "
        "told together.",
        "An event names who called and the team that the call was for, and one that nobody "
        "called for names who had started the instance.",
        "An event's duration is no shorter than the call had to wait for an answer, and no "
        "longer than the call.",
        "An instance whose place another container took before its time is not audited as expired.",
        "Equal refusals that lie an hour apart are told as two, each at its time.",
        start=18,
        since=3,
    ),
    *_rules(
        "INPUT",
        "A start with an id that is not a positive int raises ValueError.",
        "An extend with an id that is not a positive int raises ValueError.",
        "A stop with an id that is not a positive int raises ValueError.",
        "A status with an id that is not a positive int raises ValueError.",
        "A call with invalid arguments makes no container.",
        "A call with invalid arguments leaves the running instance as it was.",
        "The biggest ids that a database holds are answered, not raised at.",
        "Nothing but invalid arguments makes start, extend or stop raise.",
        "Every message is plain text for a player: never empty, no HTML, no stack trace.",
        "A refused start returns an empty instance.",
        "Arguments may be given by position or by the names user_id, challenge_id and team_id.",
    ),
    *_rules(
        "REACH",
        "The address answers by the time start returns.",
        "The host is a plain host name or address, and the ports are numbers from 1 to 65535.",
        "The address no longer answers after a stop.",
        "The addresses of two accounts lead to two different instances.",
        "The address still answers after an extend.",
        "A stop by one account leaves another account's address answering.",
        "A new start after a stop answers on the address it returns, with the new flag.",
        "A challenge under a host name of its own answers there.",
        "A challenge on a port of its own answers there.",
    ),
    *_rules(
        "REACH",
        "A service that takes one connection still has it when start returns.",
        start=10,
        since=3,
    ),
    *_rules(
        "CONC",
        "Parallel starts of one account and challenge make exactly one container.",
        "Among parallel starts exactly one says OK, and every True carries the same container.",
        "A False among parallel starts is BUSY and carries a retry_after.",
        "Parallel starts by different accounts give each a container and an address of its own.",
        "Parallel starts of two challenges by an account that may hold one leave one container; "
        "every False is LIMIT_REACHED or BUSY.",
        "Among parallel stops exactly one returns True; the others are NOT_FOUND or BUSY, and "
        "nothing runs afterwards.",
        "Parallel extends count as often as they return True; the others are BUSY or "
        "EXTENSION_LIMIT.",
        "After parallel starts and stops what runs is exactly what status tells of.",
        "Team mates who start in parallel get one container.",
        "A status while others start and stop never raises and never tells of another account's "
        "instance.",
        "Workers and a player's stop that meet at an expired instance end it once, with one event.",
        "A player's stops and clean-ups that meet at a live instance end it once, with one event.",
    ),
    *_rules(
        "CONC",
        "The answers of parallel starts, stops, extends and looks on one key are those of "
        "some order of these calls.",
        "The answers of team mates who call in parallel are those of some order of their calls.",
        "The answers of parallel calls on two challenges at the account's limit are those of "
        "some order of these calls.",
        "The answers an account gets are those of some order of its own calls, whatever other"
        " accounts do meanwhile.",
        "The answers of calls that meet an expiry are those of some order of these calls and "
        "the expiry.",
        "The answers of calls that meet clean-ups and the worker are those of some order of "
        "all of these.",
        "The answers of accounts that compete for the last places of a full system are those "
        "of some order of their calls.",
        "A start that takes long is not doubled by a second one or undone by the worker "
        "meanwhile, and says True for what runs only.",
        "A start that comes back when everybody had given it up leaves a later one alone: one of "
        "the two says True, and for what runs.",
        start=13,
        since=2,
    ),
    *_rules(
        "CONC",
        "A start at any moment of a round of the worker is live afterwards, as the start told.",
        "A round of the worker at any moment of a start neither fails nor undoes it.",
        since=3,
        start=22,
    ),
    *_rules(
        "FAULT",
        "While nothing gets through, start, extend and stop return False, code UNAVAILABLE and a "
        "retry_after.",
        "An instance whose stop nothing got through for is still known, as it was, and can be "
        "stopped later.",
        "A start whose writes are refused returns False and leaves nothing behind, and a later "
        "start works.",
        "An extend while writes are refused counts when it returns True, and only then.",
        "A stop whose writes are refused returns False; the instance stays known and can be "
        "stopped later.",
        "A status while only writes are refused tells of the live instance.",
        "A start whose answer was lost is not doubled by the next start.",
        "A start whose answer was lost leaks nothing when nobody starts again.",
        "An extend whose answer was lost takes no time away, and counts if it returned True.",
        "A stop whose answer was lost leaves nothing running that status does not tell of, and a "
        "later start works.",
        "A start whose request was lost returns False and leaves nothing behind, and a later "
        "start works.",
        "A stop whose request was lost returns False; the instance stays known and can be "
        "stopped later.",
        "A start whose answers are garbage never says True for what does not run, leaks nothing, "
        "and a later start works.",
        "A stop whose answers are garbage never says True for what still runs and forgets "
        "nothing, and a status meanwhile raises BackendUnavailable.",
        "No fault in one account's calls touches another account's instance.",
        "A call that a fault made fail with UNAVAILABLE, BUSY or RATE_LIMITED says in "
        "retry_after when to try again.",
        "The worker removes later what it could not remove while writes were refused, audited "
        "once.",
    ),
    *_rules(
        "FAULT",
        "While answers are anything at all, no call gives anything but a result of the contract; "
        "afterwards what runs is what status tells of, and a start works.",
        start=18,
        since=2,
    ),
    *_rules(
        "FAULT",
        "While nothing is answered, a status comes back within 30 s and never says None.",
        "While nothing is answered, an extend returns False, code UNAVAILABLE and a retry_after "
        "within 30 s, and changes nothing.",
        "While nothing is answered, a start returns False, code UNAVAILABLE and a retry_after "
        "within 30 s; whatever becomes of it later is not leaked, and a later start works.",
        "While nothing is answered, a stop returns False, code UNAVAILABLE and a retry_after "
        "within 30 s; nothing runs later that status does not tell of, and a start works.",
        "While nothing is answered, a round of the worker comes back within 30 s, and a later one "
        "does its work.",
        "While nothing is answered, calls at one moment do not wait for one another: each comes "
        "back within 30 s.",
        "After a fault in an extend and a stop, and after the repair, as many extensions are "
        "left as the count says, and none was given back.",
        "A start and a stop whose requests something in front answered say True of what was "
        "done only, a start says that it does not know, and nothing is doubled or forgotten.",
        "A redirect is not followed: no request goes where it points, no call says True, and "
        "afterwards the instance is as it was.",
        "A container that took an instance's place while a stop of it had failed is not told "
        "of as that instance.",
        "While it is not known what became of a start, no more containers run than the whole "
        "system has places.",
        "A start that something in front gave up on and that is carried out later says that it "
        "does not know, and is found or removed.",
        start=19,
        since=3,
    ),
    *_rules(
        "ISOLATION",
        "A program inside an instance cannot connect to another account's container.",
        "Challenges with and without egress cannot connect to one another's containers.",
        "A program inside an instance cannot connect to a port of its host, at none of the "
        "host's addresses.",
        "A challenge with egress cannot connect to a port of its host either.",
        "No socket of a container engine is inside an instance.",
        "A program inside an instance cannot connect to the internet.",
        "A program inside an instance cannot have a name of the internet resolved.",
        "A challenge that asks for egress connects to the internet, and has its names resolved "
        "there.",
        "A challenge with egress cannot connect to a private network beside its host.",
        "A program inside an instance has no capability that its challenge does not ask for.",
        "A challenge that asks for a capability has that one and no other.",
        "A program inside an instance cannot gain privileges by running another one.",
        "A challenge with a read-only root cannot write to it, but to /tmp.",
        "An instance cannot have more memory than its limit, and outlives the attempt.",
        "An instance cannot have more processes than its limit, and outlives the attempt.",
        "A program inside an instance cannot have more files open than its limit.",
        "Players reach instances with and without egress, and see each its own.",
    ),
    *_rules(
        "ISOLATION",
        "The names that a sibling finds for an instance's address hold nothing of user, team, "
        "challenge and deployment, and a new instance has others.",
        "What a program inside an instance reads of its whereabouts holds nothing of user, team, "
        "challenge and deployment.",
        "An instance that writes more to the disk than its challenge allows is ended, audited once "
        "as disk_full, and no other one is.",
        start=18,
        since=3,
    ),
    *_rules(
        "RESTART",
        "While what the backend stands on is down, start, extend and stop return False and "
        "code UNAVAILABLE, and a status raises BackendUnavailable.",
        "An instance that did not outlive a restart is not live.",
        "An instance that did not outlive a restart can be started anew, and answers.",
        "An extend and a stop of an instance that did not outlive a restart return False and "
        "code NOT_FOUND.",
        "Once the worker has run, what did not outlive a restart holds no place in a full system.",
        "What did not outlive a restart is audited as lost once, however often the worker runs.",
        "An instance that outlived a restart is live as it was, and answers.",
        "A start of an instance that outlived a restart returns it and makes no second container.",
        "An instance that outlived a restart can be extended and stopped.",
        "An instance whose time ended during a restart is removed afterwards and audited as "
        "expired once.",
    ),
    *_rules(
        "STATE",
        "While the state has no room, a start returns False, code UNAVAILABLE and a retry_after.",
        "A start in which the state ran full leaks nothing, says True for what status tells "
        "of only, and a later start works.",
        "A stop while the state has no room says True for what has ended only; else the "
        "instance stays known and can be stopped later.",
        "An extend while the state has no room returns False and code UNAVAILABLE, and "
        "changes nothing.",
        "A status while the state has no room tells of the live instance.",
        "A stop in which the state ran full leaves nothing running that status does not tell "
        "of, and a later start works.",
        "What was done has its event when the state ran full, and what was not done has none.",
        "The worker removes later what it could not remove while the state had no room, "
        "audited once.",
    ),
    *_rules(
        "STATE",
        "After its tables were replaced by guessed ones with the same rows, as by an import into "
        "CTFd, a backend serves again when its process starts anew at the latest, and knows what "
        "is live.",
        "After its tables were dropped a backend serves again when its process starts anew at the "
        "latest.",
        start=9,
        since=3,
    ),
    *_rules(
        "TIME",
        "After the clock was stepped back an instance is live as it was, and its remaining "
        "time lies between 0 and its full life.",
        "An extend after the clock was stepped back never moves the expiry earlier.",
        "An instance ends at its expiry also when the clock was stepped back in between.",
        "Start, stop and worker do their work after the clock was stepped back.",
        "A call that broke off is settled once the clock has made up for a step back.",
        "After the clock has jumped ahead what was live is over, and a start has its whole "
        "life ahead of it.",
        "The machine's time zone changes nothing: start, expiry and audit are in UTC and an "
        "instance ends at its time.",
        "An instance lives as long as ever when the machine's clocks are put forward in summer.",
        "An instance lives as long as ever when the machine's clocks are put back in autumn.",
    ),
    *_rules(
        "TIME",
        "A process on a machine whose clock is ahead ends nothing early.",
        "A process on a machine whose clock is ahead gives up no start that is still at work.",
        "What a process on a machine whose clock is ahead starts ends at its time, like any other.",
        start=10,
        since=3,
    ),
    *_rules(
        "LIMIT",
        "A start beyond the account's start rate returns False, code RATE_LIMITED and a "
        "retry_after within the window.",
        "Starts by way of another process count towards the same start rate.",
        "A start works again once the retry_after of a refusal by the start rate has gone by.",
        "One account's start rate never keeps another account from a start.",
        "Team mates share one start rate.",
        "A start of a challenge that has as many live instances as it may returns False and "
        "code CAPACITY, and others can be started.",
        "A stop frees the place it held of its challenge.",
        "No instance lives beyond the end of the contest.",
        "An extend near the end of the contest gains no more than what is left.",
        "A start after the end of the contest returns False and code CHALLENGE_UNAVAILABLE.",
        "A start of a challenge whose time is over returns False and code CHALLENGE_UNAVAILABLE.",
        "An expired instance holds no place of its challenge, whether or not the worker has run.",
    ),
    *_rules(
        "LIMIT",
        "A lost instance does not count towards the account's limit, whether or not the worker "
        "has run.",
        "Once the worker has run, a lost instance holds no place in a full system.",
        "Once the worker has run, a lost instance holds no place of its challenge.",
        since=3,
        start=13,
    ),
    *_rules(
        "POOL",
        "A start of a challenge with a warm pool returns a container that was ready.",
        "An instance from the warm pool has the flag that was recorded for it, and no other "
        "instance has it.",
        "Parallel starts never get the same container of the warm pool.",
        "The worker fills the warm pool again.",
        "A start works when no container of the warm pool is ready.",
        "Containers of the warm pool count towards the whole system's capacity.",
        "After the images have changed no start gets a container that was made before.",
    ),
    *_rules(
        "POOL",
        "The worker makes another container in the place of one that died waiting, and starts get "
        "living ones alone.",
        since=3,
        start=8,
    ),
    *_rules(
        "PORT",
        "A challenge with several ports tells each of them, in the challenge's order, and the "
        "first answers.",
        "Ports lie in the range that was set, and no two live instances share one.",
        "A start for which no port of the range is free returns False and code CAPACITY, and "
        "leaves nothing behind.",
        "A stop gives its ports back.",
        "The worker gives the ports of expired instances back.",
    ),
    *_rules(
        "PORT",
        "A challenge's TCP and UDP port of one number are told as one number.",
        "Once the worker has run, the ports of a lost instance are given back.",
        "A start that failed gives its ports back at once.",
        "A stop of an instance from the warm pool gives its ports back.",
        start=6,
        since=3,
    ),
    *_rules(
        "COMPANION",
        "An instance reaches its companion by name.",
        "A stop removes the companions too.",
        "The worker removes the companions of an expired instance too.",
    ),
    *_rules(
        "COMPANION",
        "A start waits for a companion that its challenge waits for: that one serves as soon as "
        "the start is done.",
        "A start whose companion ends before it serves returns False with a code of its own and "
        "leaves nothing behind.",
        since=3,
        start=4,
    ),
    *_rules(
        "NODE",
        "Where there are several machines, starts use more than one.",
        "An instance answers at its address with its own flag on whichever machine it runs.",
        "A stop ends the instance on whichever machine it runs, and nothing of it is left on any.",
        since=2,
    ),
    *_rules(
        "CRASH",
        "A start that died in the middle is not doubled by the next start.",
        "A start that died in the middle has left nothing that status does not tell of once the "
        "lease is over and the worker has run.",
        "An account whose start died in the middle can start and stop again once the lease is "
        "over, whether or not the worker has run.",
        "An instance outlives an extend that died in the middle, loses no time by it, and "
        "counts an extension exactly when it has gained time.",
        "An instance whose stop died in the middle is wholly gone, or live as it was and can be "
        "stopped.",
        "A worker that died in the middle of a round loses nothing live, and the next one ends "
        "what has expired; no expiry is told twice.",
        "What was done before a death in the middle of a call is told in the audit log, and "
        "nothing that was not.",
        "A death in the middle of one account's start touches no other account's instance.",
        since=2,
    ),
    *_rules(
        "CRASH",
        "An account whose start died in the middle can start again once the declared time of 20 s "
        "at most is over, whether or not the worker has run.",
        start=9,
        since=3,
    ),
    *_rules(
        "HTTP",
        "A start over HTTP is answered 201 with the five keys of every answer and the whole "
        "instance.",
        "A second start over HTTP is answered 200, code already_running and the same instance.",
        "An extend over HTTP is answered 200 with the instance as it is afterwards, which never "
        "ends earlier.",
        "A stop over HTTP is answered 200, and the status afterwards is answered 200 without an "
        "instance.",
        "A status over HTTP shows the live instance as the backend's own status does.",
        "A start over HTTP beyond the account's limit is answered 409 and code limit_reached.",
        "A start over HTTP of an unknown challenge is answered 404 and code challenge_unavailable.",
        "An extend and a stop over HTTP with no live instance are answered 404 and code not_found.",
        "What is no challenge id is answered 400 over HTTP and does nothing, and the largest id "
        "is answered as one that nobody has.",
        "Ids of other players in body, query and headers change nothing over HTTP.",
        "What cannot be asked is never answered as nothing running over HTTP: with a Retry-After a "
        "status is answered 200 and code last_known with what is on record, an extend and a stop "
        "of it 409 and code out_of_reach, and all else 503.",
        "Parallel starts over HTTP are answered 201 once, and otherwise 200 with that instance or "
        "409 with a Retry-After.",
        "Team mates share an instance over HTTP, and another team does not see it.",
        "An extend over HTTP at the limit of extensions is answered 409 and code extension_limit.",
        "What has expired is not shown over HTTP as last known.",
        since=2,
    ),
    *_rules(
        "HTTP",
        "A status over HTTP says why an instance was ended that had written more than it may.",
        "A change over HTTP without the caller's own CSRF token is answered 403 and code "
        "csrf_failed, and changes nothing.",
        "Who is not logged in is answered 401 and code login_required over HTTP, and changes "
        "nothing.",
        "What admins may do is answered 403 and code forbidden to players over HTTP, and "
        "changes nothing.",
        "An admin's change over HTTP without the admin's own CSRF token is answered 403 and "
        "code csrf_failed, and changes nothing.",
        "An admin extends and stops over HTTP the instance of the player who is named, and no "
        "other.",
        "A change is asked for by POST alone over HTTP: GET is answered 405 and code "
        "method_not_allowed, and changes nothing.",
        "While its backend is out of reach, a team's instance is shown over HTTP as last known "
        "to each of the team, and to nobody else.",
        "A change over HTTP beyond the calls that an account may make in a minute is answered 429 "
        "and code rate_limited with a Retry-After, changes nothing, and keeps no other account "
        "from anything.",
        "A body over HTTP that is no JSON object, names a member twice or names no one challenge "
        "is answered 400 and code bad_request, one of another type 415 and code not_json, one too "
        "large 413 and code too_large, and none changes anything.",
        "A path that is no endpoint's is answered 404 and code no_such_endpoint over HTTP, and a "
        "method that is not the endpoint's 405 with the one that is in Allow.",
        "Who has waited as long as a refusal for too many calls in a minute says may call again "
        "over HTTP.",
        "Team mates share the calls over HTTP that an account may make in a minute.",
        "An admin acts over HTTP for a team's instance whichever of the team is named, and for no "
        "team where none is.",
        "What an admin does over HTTP to a player's instance is told in the audit log as the "
        "admin's.",
        "An admin is shown over HTTP every live instance once, and nothing that has ended or "
        "expired.",
        "An admin is shown over HTTP every event once, the newest first over all pages, and of one "
        "player only that one's.",
        start=16,
        since=3,
    ),
    *_rules(
        "SWAP",
        "After a swap an instance that was started before it is found, as it was.",
        "An extend after a swap gives the instance from before it more time, and changes nothing "
        "else of it.",
        "A stop after a swap ends the instance from before it and removes its container.",
        "A second start after a swap returns the instance from before it and makes no second one.",
        "A new start after a swap runs on the other backend, and only there.",
        "The account's limit holds across a swap.",
        "After a swap and back the instances of both backends are found, each as it was.",
        "A start after the stop of an instance from before a swap runs on the other backend.",
        "Parallel starts at the moment of a swap make exactly one container.",
        "While the backend of an instance from before a swap is out of reach, a start returns "
        "False and code UNAVAILABLE, a status raises BackendUnavailable, and nothing starts "
        "elsewhere.",
        since=2,
    ),
    *_rules(
        "SWAP",
        "While the new backend is out of reach a start goes to the other one, and only there.",
        "A start for which the new backend is full returns False and code CAPACITY, goes "
        "nowhere else, and does not count as a failure.",
        "A start beyond the account's limit on the new backend returns False and code "
        "LIMIT_REACHED, and goes nowhere else.",
        "A start of which it is not known what became goes nowhere else, nor does the next one "
        "while that is so.",
        "After failures in a row the new backend is left alone for a while, then one start "
        "finds out whether it is back, and once it is all go there again.",
        "What is last known is asked of the backend that has the instance, before and after "
        "a swap.",
        "A start of which it is not known what became is not done elsewhere after a swap.",
        "A start beyond the account's start rate on the new backend returns False and code "
        "RATE_LIMITED, and goes nowhere else.",
        "A start whose container exits at once on the new backend returns False with a code of "
        "its own, and goes nowhere else.",
        "The flag of an instance that was stopped before a swap counts beside a new one's after "
        "it, as it did before.",
        "While the backend is out of reach that an instance from before the front may be on, a "
        "start returns False and code UNAVAILABLE, and nothing starts elsewhere.",
        "While the new backend is out of reach, what lives there counts towards the account's "
        "limit.",
        "After a swap the worker does the rounds of the backend from before it as long as that "
        "has anything.",
        "A backend that is out of reach keeps the worker from no other one's round.",
        "A start that something in front gave up on and that is carried out later is not done "
        "elsewhere meanwhile.",
        since=3,
        start=11,
    ),
)

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(rule.group for rule in RULES))
"""The groups in the order of the contract."""
