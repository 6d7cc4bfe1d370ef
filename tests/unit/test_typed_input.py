"""What does not fit a class is named: the place, what must be there, what may have been meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from conformance.harnesses import world_file
from engines.catalog import Pull
from engines.typed_input import Text, Unfit, from_json, toml_file, typed
from engines.whale import credentials


@dataclass(frozen=True)
class Inner:
    name: Text
    on: date | None = None


@dataclass(frozen=True)
class Outer:
    number: Annotated[int, Meta(ge=1)]
    inner: tuple[Inner, ...] = ()
    limits: Mapping[str, Annotated[int, Meta(ge=0, le=9)]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    pull: Pull = Pull.NEVER
    colour: Literal["red", "blue"] = "red"
    at: Annotated[datetime, Meta(tz=True)] | None = None
    pair: Annotated[tuple[int, int], Meta(description="two numbers, as [1, 2]")] = (1, 2)
    share: float | str = 0.5

    def __post_init__(self) -> None:
        if self.number == 13:
            raise ValueError("must be another number")


def test_what_fits_is_read() -> None:
    at = datetime(2030, 1, 2, tzinfo=timezone.utc)
    content = {"number": 3, "inner": [{"name": "a", "on": at.date()}], "pull": "always", "at": at}
    made = Outer(3, (Inner("a", at.date()),), pull=Pull.ALWAYS, at=at)
    assert typed(content, Outer) == made


def test_json_of_ours_is_whole() -> None:
    assert from_json({"name": "a", "on": "2030-01-02"}, Inner) == Inner("a", date(2030, 1, 2))
    assert from_json({"name": "a", "on": None, "new": 1}, Inner, more=True) == Inner("a")
    with pytest.raises(Unfit, match="on: is missing"):
        from_json({"name": "a"}, Inner)
    with pytest.raises(Unfit, match="on: must be a day"):
        from_json({"name": "a", "on": "tomorrow"}, Inner)
    with pytest.raises(Unfit, match="new: is no field"):
        from_json({"name": "a", "on": None, "new": 1}, Inner)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"number": True}, "number: must be a whole number from 1"),
        ({"number": 13}, "must be another number"),
        ({"inner": 3}, "inner: must be a list"),
        ({"inner": [3]}, "inner[0]: must be key/value pairs"),
        ({"inner": [{}]}, "inner[0].name: is missing"),
        ({"inner": [{"name": " "}]}, "inner[0].name: must be a text that is not empty"),
        ({"inner": [{"name": "a", "on": "2030-01-02"}]}, "inner[0].on: must be a day without quo"),
        ({"limits": {"a b": 10}}, "limits.a b: must be a whole number from 0 to 9"),
        ({"words": "a"}, "words: must be a list of texts"),
        ({"words": ["a", 1]}, "words[1]: must be a text"),
        ({"pull": "soon"}, "pull: must be one of never, missing, always"),
        ({"colour": "pink"}, "colour: must be one of blue, red"),
        ({"at": datetime(2030, 1, 2)}, "at: must be a time with its zone, as 2026-12-01T18"),  # noqa: DTZ001
        ({"pair": [1, "2"]}, "pair: must be two numbers, as [1, 2]"),
        ({"share": True}, "share: must be a number or a text"),
        ({"nummer": 1}, "nummer: is no field; did you mean number? the fields are number, inner"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit) as raised:
        typed({"number": 1, **changed}, Outer)
    assert str(raised.value).startswith(said)


def test_a_private_file_is_its_owners_and_none_of_it_is_quoted(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("secret")
    with pytest.raises(Unfit, match="chmod 600"):
        toml_file(file, private="whale.md")
    file.chmod(0o600)
    with pytest.raises(Unfit, match=r"^is not TOML: one is shown in \S+whale\.md$"):
        toml_file(file, private="whale.md")
    with pytest.raises(Unfit, match="is not TOML: Expected"):
        toml_file(file)
    with pytest.raises(Unfit, match="cannot be read: No such file"):
        toml_file(tmp_path / "none.toml")


def test_what_holds_secrets_while_it_is_read_shows_none() -> None:
    shown = [
        repr(credentials._File({"1": "ctfd_ab"}, {"2": credentials._Login("ada", "pass-word")})),
        repr(credentials._Login("ada", "pass-word")),
        repr(world_file._Player(user_id=1, token="ctfd_ab")),
        repr(world_file._Mate(user_id=1, token="ctfd_ab", team_id=2)),
        repr(world_file._Whale(ctfd_database_url="mysql://u:pass-word@h/db")),
    ]
    assert not any("ctfd_ab" in text or "pass-word" in text for text in shown)
