"""Whatever Whale says, reading it gives a look, an address, or one kind of error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import WhaleFault
from engines.whale.access import parse_access
from engines.whale.client import WhaleAnswer, parsed
from engines.whale.dialects import DIALECTS, Dialect
from engines.whale.wire import Another, Nothing, RunningContainer

UUID = "0f5c1a2e-6a0b-4b3c-8d4e-5f6071829304"
LINK = f'<a target="_blank" href="http://{UUID}.127.0.0.1.nip.io:8080/">Link to the Challenge</a>'

HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(
        [LINK, f"7-{UUID}", UUID, "http", "redirect", "<![x[", "http://[", "a:" + "9" * 5000]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "success",
                    "data",
                    "message",
                    "msg",
                    "lan_domain",
                    "user_access",
                    "remaining_time",
                    "uuid",
                    "subdomain",
                    "port",
                    "type",
                    "ip",
                    "domain",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(
    body=HOSTILE,
    status=st.sampled_from([100, 200, 204, 301, 400, 401, 403, 404, 429, 500, 502, 503]),
    kind=st.sampled_from(["application/json", "text/html", "", "x"]),
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
)
@settings(max_examples=700, deadline=None)
def test_whatever_is_answered_is_read_or_one_kind_of_error(
    dialect: Dialect, body: object, status: int, kind: str, method: str
) -> None:
    came = WhaleAnswer(method, "/container", status, kind, parsed(json.dumps(body).encode()), 12)
    try:
        if method == "GET":
            assert isinstance(dialect.look(came), RunningContainer | Nothing | Another)
        else:
            dialect.written(came)
    except WhaleFault:
        pass


@given(text=st.text(max_size=200) | st.text("<>![]aA=\"' -&;:/#\\0", max_size=60))
@settings(max_examples=3000, deadline=None)
def test_whatever_stands_in_user_access_is_an_address_or_none(text: str) -> None:
    found = parse_access(text)
    assert found is None or 1 <= found.port <= 65535
