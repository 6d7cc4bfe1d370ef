"""Who listens, as the kernel's tables tell it."""

from __future__ import annotations

from engines.cre.runtimes.listening import parsed

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def row(address: str, state: str = "0A") -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0\n"


def test_only_what_others_can_connect_to_listens() -> None:
    four = HEAD + row("00000000:0050") + row("0D00D50A:1538") + row("0B00007F:8D3B")
    six = HEAD + row(f"{'0' * 32}:1F90") + row(f"{'0' * 24}01000000:0051")
    mapped = row("0000000000000000FFFF00000100007F:0052") + row("00000000:0053", "01")
    assert parsed(four + six + mapped) == {80, 5432, 8080}
    assert parsed("") == set()
