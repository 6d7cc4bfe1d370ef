"""What an admin's form does to the rollout's dial; each turn is the command line's, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from engines.hybrid.dial import Dial, Position, parse_share, share
from engines.hybrid.dial_store import DialStore

Turn = Callable[[Dial], Dial]


def turn(store: DialStore, who: str, form: Mapping[str, str]) -> str:
    """Turn the dial as a form says; returns what to tell.

    Args:
        who: for the rollout's audit log.
        form: ``action``, what it needs, and ``why``.

    Raises:
        ValueError: the form asks for nothing known; says what to write.
    """
    action = form.get("action", "")
    if action not in _TURNS:
        raise ValueError(f"there is no {action[:20]!r}; press one of the buttons")
    change, told = _TURNS[action](form)
    before = store.load()
    after = store.change(who, action, form.get("why", "").strip() or told, change)
    if after.version == before.version:
        return f"Nothing to do: the rollout is at {after.position}"
    return f"The rollout is at {after.position}{' (paused)' if after.paused else ''}"


def stays(form: Mapping[str, str], kept_home: frozenset[int]) -> str:
    """What to tell besides, of a challenge that was turned on and that Whale does not have."""
    on = form.get("action") == "challenge" and form.get("flag") == "on"
    if not on or int(form["challenge_id"]) not in kept_home:
        return ""
    return "; Whale does not have this challenge, so it stays on this site's Docker"


def _set(form: Mapping[str, str]) -> tuple[Turn, str]:
    percent = parse_share(form.get("share", ""))
    return (
        lambda dial: dial.turned(replace(dial.position, percent=percent)),
        f"{share(percent)} of challenges",
    )


def _accounts(form: Mapping[str, str]) -> tuple[Turn, str]:
    cohort = parse_share(form.get("share", ""))

    def change(dial: Dial) -> Dial:
        percent = dial.position.percent or 0
        return dial.turned(replace(dial.position, cohort=cohort, percent=percent))

    return change, f"{share(cohort)} of accounts"


def _challenge(form: Mapping[str, str]) -> tuple[Turn, str]:
    number, flag = form.get("challenge_id", "").strip(), form.get("flag", "")
    if not number.isascii() or not number.isdecimal() or not int(number):
        raise ValueError("write the number of a challenge")
    flags = {"on": True, "off": False, "clear": None}
    if flag not in flags:
        raise ValueError("choose on, off or clear")
    return (
        lambda dial: dial.turned(dial.position.flagged(int(number), flags[flag])),
        f"challenge {int(number)} {flag}",
    )


def _plain(change: Turn, told: str) -> Callable[[Mapping[str, str]], tuple[Turn, str]]:
    return lambda form: (change, told)


_TURNS: Mapping[str, Callable[[Mapping[str, str]], tuple[Turn, str]]] = {
    "set": _set,
    "accounts": _accounts,
    "challenge": _challenge,
    "back": _plain(Dial.stepped_back, "one step back"),
    "pause": _plain(lambda dial: replace(dial, paused=True), "nothing new on Whale"),
    "resume": _plain(lambda dial: replace(dial, paused=False), "the pause is over"),
    "shadow_on": _plain(lambda dial: replace(dial, shadow=True), "compare both"),
    "shadow_off": _plain(lambda dial: replace(dial, shadow=False), "compare no more"),
    "clear": _plain(
        lambda dial: replace(dial, position=Position(), earlier=(), plan=(), step=-1),
        "let USE_WHALE decide",
    ),
}
