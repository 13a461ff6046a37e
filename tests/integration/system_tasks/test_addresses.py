"""Which hosts HTTP tasks may call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from tenuto.model.system_tasks import SystemTaskResult
from tenuto.system_tasks.address_rules import AddressForbidden, AddressRules
from tenuto.system_tasks.settings import HttpSettings, SystemTaskSettings
from tests.integration.system_tasks.running import running_tasks, system_task


@pytest.mark.parametrize(
    ("allow", "deny", "host", "addresses", "permitted"),
    [
        ([], [], "any.example", ["192.0.2.1", "::1"], ["192.0.2.1", "::1"]),
        (["any.example"], [], "Any.Example.", ["192.0.2.1"], ["192.0.2.1"]),
        (["*.example"], [], "any.example", ["192.0.2.1"], ["192.0.2.1"]),
        (["*.example"], [], "example", ["192.0.2.1"], []),
        (["192.0.2.0/24"], [], "any.example", ["192.0.2.1", "198.51.100.1"], ["192.0.2.1"]),
        (["::1"], [], "any.example", ["127.0.0.1"], []),
        ([], ["any.example"], "any.example", ["192.0.2.1"], []),
        ([], ["127.0.0.0/8", "::1"], "any.example", ["::1", "127.0.0.5", "192.0.2.1"], ["192.0.2.1"]),
        ([], ["127.0.0.0/8"], "any.example", ["::ffff:127.0.0.1"], []),
        ([], ["fe80::/10"], "any.example", ["fe80::1%eth0"], []),
        (["any.example"], ["10.0.0.0/8"], "any.example", ["10.1.2.3"], []),
    ],
)
def test_rules(allow: list[str], deny: list[str], host: str, addresses: list[str], permitted: list[str]) -> None:
    rules = AddressRules(allow, deny)
    if permitted:
        assert rules.permitted(host, addresses) == permitted
    else:
        with pytest.raises(AddressForbidden, match=r"forbids calls to"):
            rules.permitted(host, addresses)


@pytest.mark.parametrize("rule", ["http://a", "10.0.0.0/99", "a b", "*", ""])
def test_a_rule_that_cannot_be_read(rule: str) -> None:
    with pytest.raises(ValueError, match=r"deny: .* is no host name, address or network"):
        AddressRules(deny=[rule])


async def get(settings: HttpSettings, uri: str) -> SystemTaskResult:
    async with running_tasks(SystemTaskSettings(http=settings)) as tasks:
        return await tasks.run(system_task("HTTP", {"uri": uri, "method": "GET"}))


async def test_the_resolved_address_is_checked(base: str) -> None:
    settings = HttpSettings(deny=("127.0.0.0/8", "::1"))
    port = base.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
        result = await get(settings, f"http://{host}:{port}/echo/")
        assert result.status == "FAILED"
        assert "forbids calls to" in (result.reason or "")
    assert (await get(HttpSettings(allow=("localhost",)), f"http://localhost:{port}/echo/")).status == "COMPLETED"


async def test_a_redirect_is_checked_too(base: str) -> None:
    port = base.rpartition(":")[2]
    uri = f"{base}/redirect?to=http://localhost:{port}/echo/"
    result = await get(HttpSettings(allow=("127.0.0.1/32",), deny=("localhost",)), uri)
    assert "forbids calls to localhost" in (result.reason or "")


async def test_the_checked_address_is_the_one_called(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address after the check (DNS rebinding) gets nowhere. A dead address is passed by."""
    port = int(base.rpartition(":")[2])
    asked: list[str] = []

    async def resolve(self: Any, host: str, *args: Any, **more: Any) -> Sequence[Any]:
        asked.append(host)
        good = [("127.0.0.2", 1), ("127.0.0.1", port)] if len(asked) == 1 else [("192.0.2.1", port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in good]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    result = await get(HttpSettings(deny=("192.0.2.0/24",)), f"http://changing.example:{port}/echo/")
    assert (result.status, result.reason) == ("COMPLETED", None)
    assert asked[0] == "changing.example"
    assert asked.count("changing.example") == 1
