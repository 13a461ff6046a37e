"""Which hosts HTTP tasks may call: rules over names, addresses and networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressForbidden(Exception):
    """The operator's rules don't let a task call this host."""


class _Rules:
    def __init__(self, rules: Iterable[str], setting: str) -> None:
        self.names: set[str] = set()
        self.suffixes: list[str] = []
        self.networks: list[Network] = []
        for rule in rules:
            text = rule.strip().rstrip(".").lower()
            if network := _network(text.strip("[]")):
                self.networks.append(network)
            elif text.startswith("*.") and len(text) > 2:
                self.suffixes.append(text[1:])
            elif text and not set(text) & set("*/: "):
                self.names.add(text)
            else:
                raise ValueError(
                    f"{setting}: {rule!r} is no host name, address or network; write api.example.com, *.example.com, "
                    "192.0.2.7 or 10.0.0.0/8"
                )

    def __bool__(self) -> bool:
        return bool(self.names or self.suffixes or self.networks)

    def has_name(self, name: str) -> bool:
        return name in self.names or any(name.endswith(suffix) for suffix in self.suffixes)

    def has_address(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


class AddressRules:
    """What may be called: everything, unless `allow` names what alone may be; never what `deny` names."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        """Raises ValueError for a rule that can't be read."""
        self._allow = _Rules(allow, "allow")
        self._deny = _Rules(deny, "deny")

    def permitted(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Those of the addresses that `host` resolves to which may be called, in their order.

        Raises AddressForbidden if none may."""
        name = host.rstrip(".").lower()
        if self._deny.has_name(name):
            raise AddressForbidden(f"the server's configuration forbids calls to {host} (deny)")
        by_name = not self._allow or self._allow.has_name(name)
        good = [text for text in addresses if self._address_permitted(text, by_name)]
        if not good:
            raise AddressForbidden(f"the server's configuration forbids calls to {host} or its address (allow, deny)")
        return good

    def _address_permitted(self, text: str, by_name: bool) -> bool:
        address = _address(text)
        return not self._deny.has_address(address) and (by_name or self._allow.has_address(address))


def _address(text: str) -> Address:
    """IPv4 behind an IPv6 notation is IPv4: both forms reach the same host."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
