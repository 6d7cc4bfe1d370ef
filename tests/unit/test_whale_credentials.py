"""Tokens by user, from a file that only its owner may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.settings import Settings
from engines.whale import CredentialsFile, StaticTokens, WhaleAPIManager


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_each_user_has_a_token_of_their_own(tmp_path: Path) -> None:
    tokens = CredentialsFile(write(tmp_path, '[tokens]\n"7" = "ctfd_seven"\n8 = "ctfd_eight"\n'))
    assert tokens.headers(7) == {"Authorization": "Token ctfd_seven"}
    assert tokens.headers(8) == {"Authorization": "Token ctfd_eight"}


def test_a_name_and_password_that_were_written_down_meanwhile_are_tried(tmp_path: Path) -> None:
    tokens = CredentialsFile(write(tmp_path, '[tokens]\n"8" = "ctfd_eight"\n'))
    write(tmp_path, '[logins]\n"7" = { name = "seven", password = "ctfd_seven" }\n')
    assert tokens.refresh(7) is True


def test_a_user_without_a_token_is_unauthenticated() -> None:
    with pytest.raises(WhaleFault) as caught:
        StaticTokens({7: "ctfd_seven"}).headers(9)
    assert caught.value.code is Code.UNAUTHENTICATED


def test_no_token_is_in_a_repr() -> None:
    assert repr(StaticTokens({7: "ctfd_seven"})) == "StaticTokens(1 users)"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, '[tokens]\n"7" = "ctfd_seven"\n', mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        CredentialsFile(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('tokens = "ctfd_seven"', r"tokens: must be a table, \[tokens\]"),
        ("", r"write a table \[tokens\]"),
        ('[tokens]\n"seven" = "ctfd_seven"', "'seven' is not a user id"),
        ('[tokens]\n"7" = 7', "tokens.7: must be a plain text"),
        ('[tokens]\n"7" = "ctfd_seven\\n"', "tokens.7: must be a plain text"),
        ('[tokens]\n"7" = ""', "tokens.7: must be a plain text"),
        ('[tokens]\n"7" = ctfd_seven', "is not TOML"),
        ('logins = "ctfd_seven"', r"logins: must be a table, \[logins\]"),
        ('[logins]\n"7" = "ctfd_seven"', "logins.7: must be { name = "),
        (
            '[logins]\n"7" = { name = "a", password = "ctfd_seven", x = 1 }',
            "logins.7.x: is no field",
        ),
        ('[logins]\n"7" = { name = "", password = "ctfd_seven" }', "logins.7.name: must be a text"),
        ('[logins]\n"7" = { name = 7, password = "ctfd_seven" }', "logins.7.name: must be a text"),
    ],
)
def test_a_wrong_file_is_a_clear_error_without_the_token(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        CredentialsFile(write(tmp_path, text))
    assert "ctfd_seven" not in str(caught.value)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WHALE_TOKENS_FILE: cannot be read: No such file"):
        CredentialsFile(tmp_path / "tokens.toml")


def test_a_manager_without_an_address_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="WHALE_API_URL is not set"):
        WhaleAPIManager(Settings())
