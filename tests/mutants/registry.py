"""All mutants: part, name, bug class, where it was seen, and what must find it.

``--backend NAME=mutants.registry:NAME`` in the folder ``tests`` runs the suite on one of them.
"""

from __future__ import annotations

from conformance.harnesses.whale import FakeWhaleHarness
from engines.cre import ContainerRuntimeEngine
from engines.whale import WhaleAPIManager
from mutants import (
    adapter,
    cre,
    cre_contest,
    cre_deaths,
    cre_lives,
    fake,
    hybrid,
    rounds,
    web,
    wire_faults,
)
from mutants.kinds import Mutant, Part, wire
from mutants.patched import patched


def _adapters(name: str) -> bool:
    return name.startswith("adapter_")


_Cre = tuple[type[ContainerRuntimeEngine], str, str, str]
_Adapter = tuple[type[WhaleAPIManager], str, str, str]

_CONCURRENCY, _FAULTS = wire("Concurrency"), wire("Faults")
_LIFE, _ASKING, _EXPIRY = wire("The normal life"), wire("Who is asking"), wire("Limits and expiry")
_ENDLESS = "H1ve (D0g3-Lab/H1ve#94)"
_COUNT_THEN_ADD = "ctfd-whale (frankli0324/ctfd-whale#25)"
_DEAD_ROWS = "CTFd-Docker-Plugin (phannhat17/CTFd-Docker-Plugin#5)"
_TEAM_MODE = "CTFd-Docker-Challenges (offsecginger/CTFd-Docker-Challenges#36)"
_PORTS = "Docker (moby/moby#9047)"
_SENT_AGAIN = "axios-retry (softonic/axios-retry#17)"
_LOCK_RAN_OUT = "RSTUF (repository-service-tuf/repository-service-tuf-worker#151)"
_COOKIE = "HTTP-Proxy-Servlet (mitre/HTTP-Proxy-Servlet#118)"
_LOCKS, _TEAMS, _IDS = (
    wire("Locks and the frequency limit"),
    wire("Teams mode"),
    wire("challenge_id"),
)

CRE: dict[str, _Cre] = {
    "starts_twice": (cre.StartsTwice, "two containers for one key", _CONCURRENCY, "START-004"),
    "stop_forgets": (cre.StopForgets, "orphan", _ENDLESS, "STOP-002"),
    "extend_shortens": (cre.ExtendShortens, "extend that shortens", "", "EXTEND-005"),
    "shows_the_expired": (
        cre.ShowsTheExpired,
        "live until the reaper comes",
        _EXPIRY,
        "EXPIRY-001",
    ),
    "stop_ignores_challenge": (
        *(cre.StopIgnoresChallenge, "stop of another challenge"),
        *(_IDS, "STOP-006"),
    ),
    "shares_flags": (cre.SharesFlags, "flag reuse", "", "FLAG-002"),
    "forgets_audit": (cre.ForgetsAudit, "change without its event", "", "AUDIT-002"),
    "swallows_errors": (cre.SwallowsErrors, "daemon down told as stopped", "", "STOP-012"),
    "says_started_unsaved": (cre.SaysStartedUnsaved, "success without its record", "", "STATE-002"),
    "leaks_without_room": (cre.LeaksWithoutRoom, "orphan of a full disk", "", "STATE-002"),
    "extends_without_room": (cre.ExtendsWithoutRoom, "success without its record", "", "STATE-004"),
    "listed_is_live": (
        cre.ListedIsLive,
        "dead taken for live after a restart",
        _DEAD_ROWS,
        "RESTART-002",
    ),
    "forgets_the_lost": (cre.ForgetsTheLost, "dead rows hold places", _DEAD_ROWS, "RESTART-005"),
    "down_is_nothing": (cre.DownIsNothing, "daemon down told as nothing runs", "", "RESTART-001"),
    "retries_without_end": (
        *(cre.RetriesWithoutEnd, "a daemon that hangs holds up whoever asks"),
        *("", "FAULT-019"),
    ),
    "counts_from_the_clock": (cre.CountsFromTheClock, "clock stepped back", _EXPIRY, "TIME-001"),
    "tells_local_time": (cre.TellsLocalTime, "local time told as UTC", "", "TIME-007"),
    "counts_in_local_time": (cre.CountsInLocalTime, "naive local time, DST", "", "TIME-008"),
    "rate_in_memory": (cre.RateInMemory, "limit kept by each process", _LOCKS, "LIMIT-002"),
    "lives_on": (cre.LivesOn, "the contest's end is not looked at", _IDS, "LIMIT-008"),
    "hands_out_twice": (cre.HandsOutTwice, "look, then take", _COUNT_THEN_ADD, "POOL-003"),
    "records_another_flag": (cre.RecordsAnotherFlag, "flag of another container", "", "POOL-002"),
    "pool_takes_no_room": (
        cre.PoolTakesNoRoom,
        "capacity counts half",
        _COUNT_THEN_ADD,
        "POOL-006",
    ),
    "handed_over_takes_two_places": (
        cre.HandedOverTakesTwoPlaces,
        "capacity counts twice",
        "",
        "POOL-009",
    ),
    "shares_ports": (cre.SharesPorts, "port collision", _PORTS, "PORT-002"),
    "keeps_ports": (cre.KeepsPorts, "port leak", _FAULTS, "PORT-004"),
    "looks_then_inserts": (
        *(cre_deaths.LooksThenInserts, "look, then insert: two containers for one key"),
        *(_CONCURRENCY, "CONC-001"),
    ),
    "loses_its_lock": (
        *(cre_deaths.LosesItsLock, "lock lost during a slow pull"),
        *(_LOCK_RAN_OUT, "CONC-001"),
    ),
    "clears_what_came_after": (
        *(cre_deaths.ClearsWhatCameAfter, "lock without a fencing token"),
        *(_LOCK_RAN_OUT, "CONC-021"),
    ),
    "reuses_flags": (cre_deaths.ReusesFlags, "flag reuse", "", "FLAG-003"),
    "one_too_many": (cre_deaths.OneTooMany, "N+1 capacity", _COUNT_THEN_ADD, "START-015"),
    "makes_then_asks": (cre_deaths.MakesThenAsks, "orphan on a refused start", _FAULTS, "PORT-003"),
    "reaps_by_the_first_expiry": (
        *(cre_deaths.ReapsByTheFirstExpiry, "expiry differs between store and reaper"),
        *("", "EXPIRY-010"),
    ),
    "reads_stale": (cre_deaths.ReadsStale, "stale read after a stop", "", "STOP-001"),
    "repeats_a_write": (cre_deaths.RepeatsAWrite, "retry of a write", _SENT_AGAIN, "EXTEND-002"),
    "finds_by_challenge": (
        *(cre_deaths.FindsByChallenge, "renew of a foreign instance"),
        *("", "ACCOUNT-003"),
    ),
    "loses_the_code": (cre_deaths.LosesTheCode, "code lost", "", "EXTEND-007"),
    "never_says_when": (cre_deaths.NeverSaysWhen, "retry_after missing", _LOCKS, "LIMIT-001"),
    "audits_first": (cre_deaths.AuditsFirst, "audit before commit", "", "STATE-007"),
    "tells_later": (cre_deaths.TellsLater, "change and event in two commits", "", "CRASH-007"),
    "row_last": (cre_deaths.RowLast, "container first, row later", _FAULTS, "CRASH-002"),
    "forgets_first": (cre_deaths.ForgetsFirst, "row first, container later", _FAULTS, "CRASH-005"),
    "leaves_the_abandoned": (
        *(cre_deaths.LeavesTheAbandoned, "lock of the dead stays"),
        *(_LOCKS, "CRASH-003"),
    ),
    "knows_challenges_by_number": (
        *(cre_lives.KnowsChallengesByNumber, "a number given again"),
        *("CTFd (CTFd/CTFd#1386)", "ACCOUNT-020"),
    ),
    "leases_for_the_longest_start": (
        *(cre_lives.LeasesForTheLongestStart, "lock of the dead stays for minutes"),
        *("CTFd (CTFd/CTFd#468)", "CRASH-009"),
    ),
    "loses_without_a_word": (
        *(cre_lives.LosesWithoutAWord, "cause of a failure is not kept"),
        *("ocean_ctf (hexbay/ocean_ctf#18)", "AUDIT-019"),
    ),
    "waits_for_the_network": (
        *(cre_lives.WaitsForTheNetwork, "network with a foreign endpoint"),
        *("Docker (moby/moby#17217)", "STOP-016"),
    ),
    "believes_the_version": (
        *(cre_lives.BelievesTheVersion, "tables replaced by an import"),
        *("CTFd (CTFd/CTFd#861)", "STATE-009"),
    ),
    "takes_all_of_its_name": (
        *(cre_contest.TakesAllOfItsName, "two sites under one label"),
        *("go-livepeer (livepeer/go-livepeer#3754)", "EXPIRY-018"),
    ),
    "goes_by_its_own_clock": (
        *(cre_contest.GoesByItsOwnClock, "lease judged by the machine's clock"),
        *("occurrent (johanhaleby/occurrent#659)", "TIME-010"),
    ),
    "watches_no_disk": (
        *(cre_contest.WatchesNoDisk, "one instance fills the host's disk"),
        *("Docker (moby/moby#28302)", "ISOLATION-020"),
    ),
    "flags_for_good": (cre_contest.FlagsForGood, "grace time without an end", "", "FLAG-014"),
    "counts_the_orphans": (
        *(cre_contest.CountsTheOrphans, "number given to another account"),
        *("ISLET (jonschipp/ISLET#69)", "ACCOUNT-023"),
    ),
}
ADAPTER: dict[str, _Adapter] = {
    "adapter_stops_anything": (
        *(adapter.StopsAnything, "DELETE ignores challenge_id"),
        *(_IDS, "STOP-006"),
    ),
    "adapter_replaces_on_start": (
        *(adapter.ReplacesOnStart, "POST replaces what runs"),
        *(_LIFE, "START-008"),
    ),
    "adapter_forgets_extensions": (
        *(adapter.ForgetsExtensions, "renewals are counted nowhere"),
        *(_LIFE, "EXTEND-001"),
    ),
    "adapter_believes_any_answer": (
        *(adapter.BelievesAnyAnswer, "success with an error body"),
        *(_EXPIRY, "FAULT-005"),
    ),
    "adapter_believes_any_number": (
        *(adapter.BelievesAnyNumber, "a number out of range overflows"),
        *("", "FAULT-018"),
    ),
    "adapter_down_is_nothing": (
        *(adapter.DownIsNothing, "Whale down told as nothing runs"),
        *("", "STATUS-015"),
    ),
    "adapter_down_is_stopped": (
        *(adapter.DownIsStopped, "Whale down told as stopped"),
        *("", "STOP-012"),
    ),
    "adapter_time_out_is_failure": (
        *(adapter.TimeOutIsFailure, "time-out told as failure"),
        *(_LOCKS, "FAULT-008"),
    ),
    "adapter_retries_writes": (
        *(adapter.RetriesWrites, "retry of a non-idempotent write"),
        *(_SENT_AGAIN, "FAULT-009"),
    ),
    "adapter_created_is_running": (
        *(adapter.CreatedIsRunning, "created told as running"),
        *(_LIFE, "START-011"),
    ),
    "adapter_leaves_the_unanswering": (
        *(adapter.LeavesTheUnanswering, "orphan on a refused start"),
        *(_FAULTS, "START-013"),
    ),
    "adapter_adds_what_is_reset": (
        *(adapter.AddsWhatIsReset, "expiry differs between ledger and Whale"),
        *(_LIFE, "AUDIT-002"),
    ),
    "adapter_counts_in_local_time": (
        *(adapter.CountsInLocalTime, "naive local time"),
        *("", "TIME-007"),
    ),
    "adapter_shares_a_cookie": (
        *(adapter.SharesACookie, "cookie shared between users"),
        *(f"{_ASKING}; {_COOKIE}", "STOP-003"),
    ),
    "adapter_forgets_teams": (
        *(adapter.ForgetsTeams, "ledger not team-scoped"),
        *(_TEAM_MODE, "ACCOUNT-006"),
    ),
    "adapter_reads_stale": (adapter.ReadsStale, "stale read after a stop", "", "STOP-001"),
    "adapter_loses_its_lock": (
        *(adapter.LosesItsLock, "lock lost during a slow start"),
        *(_FAULTS, "CONC-002"),
    ),
    "adapter_audits_first": (adapter.AuditsFirst, "audit before commit", "", "CRASH-007"),
    "adapter_loses_the_code": (adapter.LosesTheCode, "code lost", "", "START-015"),
    "adapter_never_says_when": (
        *(adapter.NeverSaysWhen, "retry_after missing"),
        *("", "FAULT-001"),
    ),
    "adapter_passes_html_on": (adapter.PassesHtmlOn, "HTML in a message", _LIFE, "INPUT-009"),
    "adapter_one_token_for_all": (
        *(adapter.OneTokenForAll, "one identity for everybody"),
        *(_ASKING, "ACCOUNT-001"),
    ),
    "adapter_leaves_the_abandoned": (
        *(adapter.LeavesTheAbandoned, "lock of the dead stays"),
        *(_LOCKS, "CRASH-003"),
    ),
    "adapter_extends_strangers": (
        *(adapter.ExtendsStrangers, "renew of a foreign instance"),
        *("", "ACCOUNT-003"),
    ),
    "adapter_shows_the_expired": (
        *(adapter.ShowsTheExpired, "live until the cleaner comes"),
        *(_EXPIRY, "EXPIRY-001"),
    ),
    "adapter_writes_at_once": (
        *(adapter.WritesAtOnce, "N+1 capacity"),
        *(_CONCURRENCY, "CONC-019"),
    ),
    "adapter_numbers_are_owners": (
        *(adapter.NumbersAreOwners, "number given to another account"),
        *("ISLET (jonschipp/ISLET#69)", "ACCOUNT-017"),
    ),
    "adapter_goes_by_its_own_clock": (
        *(adapter.GoesByItsOwnClock, "expiry judged by the machine's clock"),
        *("occurrent (johanhaleby/occurrent#659)", "TIME-010"),
    ),
}
FAKE: dict[str, tuple[str, str, str]] = {
    "fake_orphans": ("orphan", _FAULTS, "STOP-002"),
    "fake_adds_on_renewal": ("renewal adds", _LIFE, "EXTEND-003"),
    "fake_counts_on": ("count outlives its container", _LIFE, "EXTEND-015"),
    "fake_admits_n": ("N admits N", _EXPIRY, "START-016"),
    "fake_shows_any_challenge": ("challenge_id not read", _LIFE, "b0-life-alice"),
    "fake_one_flag": ("flag reuse", _LIFE, "FLAG-002"),
    "fake_runs_what_is_missing": ("missing image runs", _FAULTS, "START-011"),
    "fake_one_port": ("port collision", _FAULTS, "REACH-009"),
    "fake_leaves_no_lock": ("lock given back", _LOCKS, "random-1-6"),
    "fake_no_window": ("no frequency limit", _LOCKS, "b0-sess-bob"),
    "fake_cleans_late": ("reaper late", _EXPIRY, "b0-life-alice"),
    "fake_escapes_names": ("escaped where the real one does not", _LIFE, "b0-cfg0-p06"),
    "fake_hides_port_80": ("port left out", _LIFE, "b0-cfg0-alice"),
    "fake_refuses_mates": ("team-scoped", _TEAMS, "random-1-0"),
}

PATCHED: dict[str, tuple[str, str, str]] = {
    "web_takes_any_request": ("CSRF", "", "HTTP-017"),
    "web_takes_any_token": ("CSRF", "", "HTTP-017"),
    "web_trusts_admins": ("CSRF", "", "HTTP-020"),
    "web_everybody_is_admin": ("admin rights", "", "HTTP-019"),
    "web_lets_anybody_in": ("login missing", "", "HTTP-018"),
    "web_believes_the_body": ("identity from the body", "", "HTTP-010"),
    "web_acts_for_oneself": ("wrong account", "", "HTTP-021"),
    "web_changes_by_get": ("change by GET", "", "HTTP-022"),
    "web_calls_are_not_counted": ("calls without limit", "", "HTTP-024"),
    "web_refuses_too_late": ("calls without limit", "", "HTTP-024"),
    "web_counts_the_forged": ("another site bars a player", "", "HTTP-041"),
    "web_all_have_one_minute": ("one account bars all", "", "HTTP-024"),
    "web_refused_for_good": ("one refusal too long", "", "HTTP-027"),
    "web_rounds_the_wait_down": ("off by one", "", "HTTP-027"),
    "web_mates_have_a_minute_each": ("team key", "", "HTTP-028"),
    "web_admins_know_no_teams": ("team key", "", "HTTP-029"),
    "web_nobody_stopped_it": ("who did it is lost", "", "HTTP-030"),
    "web_lists_the_expired": ("dead shown as live", "", "HTTP-031"),
    "web_pages_overlap": ("off by one", "", "HTTP-032"),
    "web_history_is_everybodys": ("filter left out", "", "HTTP-032"),
    "web_history_ends_early": ("off by one", "", "HTTP-032"),
    "web_may_be_kept": ("kept by a cache", "", "HTTP-001"),
    "web_takes_the_first": ("two challenges in one request", "", "HTTP-025"),
    "web_takes_the_last": ("two challenges in one request", "", "HTTP-025"),
    "web_reads_all": ("body without limit", "", "HTTP-025"),
    "web_cuts_what_comes_in_chunks": ("body without limit", "", "HTTP-025"),
    "web_takes_any_type": ("form of another page", "", "HTTP-025"),
    "web_leaves_the_rest": ("error in another shape", "", "HTTP-026"),
    "web_names_no_method": ("error in another shape", "", "HTTP-026"),
    "web_zero_is_no_team": ("zero taken for nothing", "", "HTTP-033"),
    "web_goes_by_the_first": ("filter left out", "", "HTTP-034"),
    "web_nothing_is_all": ("nothing taken for all", "", "HTTP-035"),
    "web_knows_one_name": ("ends what was not named", "", "HTTP-034"),
    "web_false_is_all": ("nothing taken for all", "", "HTTP-035"),
    "web_nobody_ended_them": ("who did it is lost", "", "HTTP-036"),
    "web_solves_are_users": ("team key", "", "HTTP-037"),
    "web_solves_end_all_the_same": ("setting not looked at", "", "HTTP-037"),
    "web_shows_nothing_unseen": ("unknown told as nothing", "", "HTTP-038"),
    "web_counts_on": ("window never empties", "", "HTTP-039"),
    "web_first_of_two": ("two challenges in one request", "", "HTTP-040"),
    "web_any_number": ("input not checked", "", "HTTP-040"),
    "web_last_known_is_anybodys": ("team key", "", "HTTP-023"),
    "flags_end_with_their_time": ("flag after expiry", "", "FLAG-015"),
    "flags_count_until_cleared": ("flag after expiry", "", "FLAG-015"),
    "flags_count_for_ever": ("flag after expiry", "", "FLAG-014"),
    "grace_begins_at_the_removal": ("flag after expiry", "", "FLAG-015"),
    "expired_is_last_known": ("expired told as last known", "", "HTTP-015"),
    "tells_the_starter_why": ("team key", "", "HTTP-016"),
    "logs_the_flag_of_the_lost": ("flag in the log", "", "AUDIT-019"),
    "ends_a_round_early": ("ended before its time", "", "EXPIRY-020"),
    "what_was_ready_has_no_end": ("beyond the end", "", "POOL-011"),
    "what_was_ready_outlives_its_challenge": ("beyond the end", "", "POOL-015"),
    "keeps_ports_of_the_replaced": ("port leak", "", "POOL-012"),
    "keeps_what_others_hold": ("port leak", "", "PORT-010"),
    "rounds_take_what_is_claimed": ("stray that is none", "", "POOL-013"),
    "what_is_being_made_takes_no_place": ("N+1 capacity", "", "POOL-014"),
    "strays_go_by_their_name": ("stray that is none", "", "STOP-019"),
    "the_next_one_hides_what_is_left": ("leak behind the next one", "", "STOP-020"),
    "mates_are_told_as_one": ("wrong user in the audit log", "", "AUDIT-022"),
    "reasons_are_told_as_one": ("code lost", "", "AUDIT-020"),
    "keeps_what_the_failed_held": ("port leak", _FAULTS, "PORT-008"),
    "keeps_what_was_warm": ("port leak", "", "PORT-009"),
    "refusals_are_merged_for_ever": ("told at another time", "", "AUDIT-025"),
    "refusals_of_half_an_hour": ("told at another time", "", "AUDIT-028"),
    "the_earlier_flag_is_on_record": ("flag of another instance", "", "FLAG-021"),
    "no_row_is_closed": ("log without bound", "", "AUDIT-026"),
    "made_up_ids_make_rows": ("log without bound", "", "AUDIT-027"),
    "forgets_what_broke_off": ("N+1 capacity", "", "FAULT-029"),
    "certain_without_room": ("unknown told as failure", "", "STATE-002"),
    "flags_are_users": ("team key", "", "FLAG-018"),
    "flags_outlive_a_team": ("team key", "", "FLAG-018"),
    "last_known_by_user": ("team key", "", "ACCOUNT-027"),
    "last_known_by_challenge": ("another account's", "", "ACCOUNT-027"),
    "names_the_starter": ("wrong user in the audit log", "", "AUDIT-022"),
    "names_no_team_in_refusals": ("team key", "", "AUDIT-022"),
    "no_extend_in_the_last_minute": ("the last minute", "", "EXTEND-016"),
    "last_extend_late_is_one_too_many": ("off by one in the last minute", "", "EXTEND-016"),
    "late_extends_count_from_now": ("the last minute", "", "EXTEND-016"),
    "keeps_what_the_lost_held": ("port leak after a loss", "", "PORT-007"),
    "the_lost_stand_in_the_way": ("dead rows hold places", _DEAD_ROWS, "LIMIT-013"),
    "the_lost_hold_their_place": ("dead rows hold places", _DEAD_ROWS, "LIMIT-014"),
    "known_by_its_name": ("another container taken for ours", "", "STATUS-017"),
    "running_again_anew": ("count lost in a repair", "", "FAULT-025"),
    "running_again_with_one_more": ("count wrong after a repair", "", "FAULT-025"),
    "rounds_give_extensions_back": ("count lost in a repair", "", "FAULT-025"),
    "adapter_running_again_anew": ("count lost in a repair", "", "FAULT-025"),
    "rows_before_containers": ("fresh taken for a stray", "", "CONC-022"),
    "whoever_starts_is_dead": ("start taken for abandoned", "", "CONC-023"),
    "adapter_whoever_starts_is_dead": ("start taken for abandoned", "", "CONC-023"),
    "fresh_is_lost": ("fresh taken for lost", "", "CONC-022"),
    "flags_go_by_numbers": ("flag of another account", _IDS, "FLAG-019"),
    "own_end_is_none": ("the challenge's end is not looked at", _IDS, "LIMIT-016"),
    "full_counts": ("a refusal counts as a start", "", "LIMIT-017"),
    "waits_a_whole_window": ("a wait that is too long", "", "LIMIT-018"),
    "outages_use_the_pool_up": ("a claim that is not given back", "", "POOL-010"),
    "the_dead_hold_the_pool": ("dead rows hold places", _DEAD_ROWS, "CRASH-010"),
    "certain_of_stops": ("unknown told as failure", "", "STOP-017"),
    "takes_no_time": ("durations of zero", "", "AUDIT-023"),
    "refusals_take_no_time": ("durations of zero", "", "AUDIT-023"),
    "takes_seconds": ("wrong unit", "", "AUDIT-023"),
    "takes_microseconds": ("wrong unit", "", "AUDIT-023"),
    "adapter_takes_no_time": ("durations of zero", "", "AUDIT-023"),
    "adapter_follows_redirects": ("token sent after a redirect", "", "FAULT-027"),
    "adapter_logs_its_headers": ("token in the log", "", "ACCOUNT-034"),
    "adapter_ends_rounds_at_the_first": ("one user holds up all", "", "ACCOUNT-035"),
    "adapter_follows_gains_alone": ("expiry that was not followed", "", "STATUS-018"),
    "adapter_reads_follow_redirects": ("token sent after a redirect", "", "FAULT-027"),
    "adapter_reads_follow_kept_methods": ("token sent after a redirect", "", "FAULT-027"),
    "adapter_lost_is_expired": ("lost told as expired", "", "AUDIT-024"),
    "adapter_never_asks_for_new_tokens": ("revoked token", "", "ACCOUNT-029"),
    "adapter_keeps_what_was_revoked": ("revoked token", _ASKING, "ACCOUNT-029"),
    "adapter_borrows_a_token": ("one identity for everybody", _ASKING, "ACCOUNT-028"),
    "adapter_no_token_is_nothing": ("no access told as nothing runs", "", "ACCOUNT-029"),
    "adapter_no_token_is_gone": ("no access told as gone", "", "ACCOUNT-029"),
    "adapter_no_token_is_an_outage": ("code lost", "", "ACCOUNT-028"),
    "adapter_last_known_by_user": ("team key", _TEAM_MODE, "ACCOUNT-027"),
    "adapter_status_by_starter": ("team key", _TEAM_MODE, "ACCOUNT-006"),
    "adapter_takes_whatever_runs": ("another container taken for ours", _LIFE, "STATUS-017"),
    "adapter_is_whatever_runs": ("another container taken for ours", _LIFE, "FAULT-028"),
    "adapter_follows_what_took_its_place": (
        "another container taken for ours",
        _LIFE,
        "STATUS-017",
    ),
    "adapter_repairs_to_no_extension": ("count lost in a repair", "", "FAULT-025"),
    "adapter_repairs_uncounted": ("count lost in a repair", "", "CRASH-004"),
    "adapter_bad_gateway_is_certain": ("502 told as failure", "", "FAULT-026"),
    "adapter_gateway_is_over": ("502 told as failure", "", "SWAP-025"),
    "adapter_drops_the_unknown": ("an unknown start is dropped", "", "SWAP-025"),
    "adapter_never_follows_a_renewal": ("expiry known from the start only", "", "EXTEND-017"),
    "adapter_last_known_is_the_numbers": ("number given again", "", "ACCOUNT-030"),
    "adapter_adopts_what_is_left": ("number given again", "", "ACCOUNT-032"),
    "adapter_expired_stand_in_the_way": ("expired counts on", _LIFE, "ACCOUNT-033"),
    "adapter_never_answered_is_live": ("dead shown as live", _FAULTS, "FAULT-032"),
    "adapter_forbidden_is_no_answer": ("code lost", _ASKING, "ACCOUNT-028"),
    "adapter_open_is_ready": ("nobody behind the port", wire("frp"), "REACH-011"),
    "adapter_extend_stays_open": ("lock left by a failed call", "", "FAULT-031"),
    "adapter_bad_gateway_is_sent_again": ("retry of a write", _SENT_AGAIN, "FAULT-025"),
    "adapter_bad_gateway_is_done": ("success with an error body", "", "FAULT-026"),
    "hybrid_status_of_the_user": ("team key", "", "ACCOUNT-006"),
    "hybrid_last_known_of_the_user": ("team key", "", "ACCOUNT-027"),
    "hybrid_last_known_at_home": ("asked of the wrong backend", "", "SWAP-016"),
    "hybrid_flag_of_the_user": ("team key", "", "FLAG-018"),
    "breaker_never_opens": ("breaker", "", "SWAP-015"),
    "breaker_never_lets_through": ("breaker", "", "SWAP-015"),
    "breaker_lets_all_through": ("breaker", "", "SWAP-015"),
    "breaker_one_failure_is_enough": ("breaker", "", "SWAP-015"),
    "breaker_closes_by_itself": ("breaker", "", "SWAP-015"),
    "breaker_refusals_are_failures": ("breaker", "", "SWAP-012"),
    "hybrid_full_goes_home": ("fallback on a refusal", "", "SWAP-012"),
    "hybrid_limit_goes_home": ("fallback on a refusal", "", "SWAP-013"),
    "hybrid_one_extension_more": ("smaller limit not kept", "", "EXTEND-007"),
    "hybrid_last_known_as_it_is": ("smaller limit not kept", "", "ACCOUNT-027"),
    "hybrid_promises_the_more": ("smaller limit not kept", "", "STATUS-009"),
    "hybrid_rate_goes_home": ("fallback on a refusal", "", "SWAP-018"),
    "hybrid_failed_goes_home": ("fallback on a refusal", "", "SWAP-019"),
    "hybrid_flags_of_one": ("asked of the wrong backend", "", "SWAP-020"),
    "hybrid_home_down_is_nothing_there": ("two containers for one key", "", "SWAP-021"),
    "hybrid_out_of_reach_is_over": ("limit passed in an outage", "", "SWAP-022"),
    "hybrid_what_is_left_rests": ("orphan after a swap", "", "SWAP-023"),
    "hybrid_one_outage_ends_the_round": ("one outage stops all", "", "SWAP-024"),
    "breaker_all_failures_count": ("breaker", "", "SWAP-015"),
    "breaker_pauses_from_the_beginning": ("breaker", "", "SWAP-015"),
    "hybrid_unknown_goes_home": ("two containers for one key", "", "SWAP-014"),
    "breaker_full_is_no_answer": ("breaker", "", "SWAP-026"),
    "hybrid_flag_is_homes": ("asked of the wrong backend", "", "SWAP-027"),
    "hybrid_not_asked_is_nothing": ("route of the unknown dropped", "", "SWAP-028"),
    "hybrid_unknown_is_running": ("unknown told as running", "", "SWAP-029"),
    "hybrid_anything_may_be_nothing": ("route of the unknown dropped", "", "STOP-013"),
    "hybrid_a_second_start_goes_home": ("two containers for one key", "", "SWAP-017"),
    "hybrid_a_refusal_ends_what_was_unknown": ("two containers for one key", "", "SWAP-030"),
    "hybrid_any_answer_closes": ("breaker", "", "SWAP-031"),
    "hybrid_never_goes_home": ("no fallback", "", "SWAP-011"),
    "hybrid_goes_home_twice": ("route not moved", "", "SWAP-011"),
    "hybrid_sweeps_what_starts": ("start taken for abandoned", "", "CONC-023"),
    "hybrid_forgets_the_route_first": ("route first, container later", "", "CRASH-005"),
    "hybrid_forgets_what_broke_off": ("route of the unknown dropped", "", "CRASH-002"),
    "hybrid_leaves_the_abandoned": ("lock of the dead stays", _LOCKS, "CRASH-003"),
}
_PARTS = {
    Part.ENDPOINTS: web.CHANGES,
    Part.CRE: {name: change for name, change in rounds.CHANGES.items() if not _adapters(name)},
    Part.ADAPTER: {
        **{name: change for name, change in rounds.CHANGES.items() if _adapters(name)},
        **wire_faults.CHANGES,
    },
    Part.FRONT: hybrid.CHANGES,
}


def _says(broken: object) -> str:
    return str(broken.__doc__).strip().splitlines()[0]


MUTANTS: tuple[Mutant, ...] = (
    *(
        Mutant(name, Part.CRE, _says(broken), bug, source, killer, cre.on_memory(broken))
        for name, (broken, bug, source, killer) in CRE.items()
    ),
    *(
        Mutant(
            *(name, Part.ADAPTER, _says(broken), bug, source, killer),
            adapter.on_a_fake_whale(broken),
        )
        for name, (broken, bug, source, killer) in ADAPTER.items()
    ),
    *(
        Mutant(
            *(name, Part.FAKE, _says(fake.UNTRUTHS[name][0].broken), bug, source, killer),
            patched(FakeWhaleHarness, *fake.UNTRUTHS[name]),
        )
        for name, (bug, source, killer) in FAKE.items()
    ),
    *(
        Mutant(
            *(name, part, _says(changes[0].broken), *PATCHED[name]),
            patched(sound, *changes),
        )
        for part, broken in _PARTS.items()
        for name, (sound, changes) in broken.items()
    ),
)

KILLED_BY: dict[str, str] = {mutant.name: mutant.killed_by for mutant in MUTANTS}
"""The rule, or the recorded session, that must find each."""
globals().update({mutant.name: mutant.harness for mutant in MUTANTS})
