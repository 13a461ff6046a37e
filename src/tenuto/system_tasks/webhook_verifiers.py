"""Is a webhook's delivery from who it says? One verifier for each of the ways that senders sign.

All compare in constant time, and over the body's bytes as they came. Signatures with a time are good for five minutes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct, field

from tenuto.model.json_values import Json

VerifierName: TypeAlias = Literal[
    "HEADER_BASED", "SIGNATURE_BASED", "HMAC_BASED", "SLACK_BASED", "STRIPE", "TWITTER", "SENDGRID"
]

#: Seconds by which a signed time may differ from ours.
TOLERANCE = 300
_DIGITS = re.compile(r"[0-9]{1,12}")


class Rejected(Exception):
    """The delivery can't be trusted, or the webhook isn't configured to tell; the text never shows a secret."""


class Verification(Struct, frozen=True, kw_only=True):
    """What a webhook's configuration says of its sender, secrets put in."""

    verifier: VerifierName
    headers: dict[str, str] = field(default_factory=dict)
    """HEADER_BASED: what each of these must be."""
    header_key: str | None = None
    """Which header has the signature, where the sender leaves it open."""
    secret: str | None = None
    """The shared secret, or for SENDGRID the public key."""


def verify(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    """Raises Rejected unless the delivery is genuine.

    `headers`: all values by lower-case name. `body`: the raw bytes. `now`: seconds since the epoch."""
    _VERIFIERS[verification.verifier](verification, headers, body, now)


def slack_challenge(payload: Json) -> str | None:
    """What a delivery that only asks whether we are there is answered with; None for any other. Verify it before."""
    if isinstance(payload, dict) and payload.get("type") == "url_verification":
        challenge = payload.get("challenge")
        return challenge if isinstance(challenge, str) else None
    return None


def twitter_response_token(secret: str, crc_token: str) -> str:
    """What a GET with `crc_token` is answered with, to prove that we know the secret."""
    return "sha256=" + base64.b64encode(_hmac(secret.encode(), crc_token.encode())).decode()


def _header_based(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    if not verification.headers:
        raise Rejected("the webhook is HEADER_BASED and has no headers configured")
    for name, expected in verification.headers.items():
        _compare(_one(headers, name), expected, name)


def _signature_based(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    name = verification.header_key or "X-Hub-Signature-256"
    _compare(_one(headers, name), "sha256=" + _hmac(_secret(verification), body).hex(), name)


def _hmac_based(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    """The secret is base64; the signature may be base64 or hexadecimal."""
    name = verification.header_key or "Authorization"
    try:
        secret = base64.b64decode(_secret(verification), validate=True)
    except binascii.Error:
        raise Rejected("the webhook is HMAC_BASED and its secret is not base64") from None
    given = _one(headers, name).removeprefix("HMAC ").strip()
    digest = _hmac(secret, body)
    _compare(given, digest.hex() if re.fullmatch(r"[0-9a-f]{64}", given) else base64.b64encode(digest).decode(), name)


def _slack_based(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    timestamp = _recent(_one(headers, "X-Slack-Request-Timestamp"), now)
    signed = b"v0:" + timestamp.encode() + b":" + body
    _compare(
        _one(headers, "X-Slack-Signature"), "v0=" + _hmac(_secret(verification), signed).hex(), "X-Slack-Signature"
    )


def _stripe(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    """`Stripe-Signature: t=<time>,v1=<signature>[,v1=...]`: several while a secret is being exchanged."""
    name = "Stripe-Signature"
    parts = [part.strip().partition("=") for part in _one(headers, name).split(",")]
    timestamp = _recent(next((value for key, _, value in parts if key == "t"), ""), now)
    expected = _hmac(_secret(verification), timestamp.encode() + b"." + body).hex()
    good = [hmac.compare_digest(value.encode(), expected.encode()) for key, _, value in parts if key == "v1"]
    if not any(good):
        raise Rejected(f"header {name} does not match")


def _twitter(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    name = "X-Twitter-Webhooks-Signature"
    expected = "sha256=" + base64.b64encode(_hmac(_secret(verification), body)).decode()
    _compare(_one(headers, name), expected, name)


def _sendgrid(verification: Verification, headers: Mapping[str, list[str]], body: bytes, now: float) -> None:
    """An ECDSA signature; the configured secret is the sender's public key, in base64."""
    timestamp = _recent(_one(headers, "X-Twilio-Email-Event-Webhook-Timestamp"), now)
    name = "X-Twilio-Email-Event-Webhook-Signature"
    try:
        key = load_der_public_key(base64.b64decode(_secret(verification), validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("no elliptic curve key")
    except ValueError:
        raise Rejected("the webhook is SENDGRID and its secret is no public key in base64") from None
    try:
        signature = base64.b64decode(_one(headers, name), validate=True)
        key.verify(signature, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        raise Rejected(f"header {name} does not match") from None


_Verify: TypeAlias = Callable[[Verification, Mapping[str, list[str]], bytes, float], None]

_VERIFIERS: dict[VerifierName, _Verify] = {
    "HEADER_BASED": _header_based,
    "SIGNATURE_BASED": _signature_based,
    "HMAC_BASED": _hmac_based,
    "SLACK_BASED": _slack_based,
    "STRIPE": _stripe,
    "TWITTER": _twitter,
    "SENDGRID": _sendgrid,
}


def _one(headers: Mapping[str, list[str]], name: str) -> str:
    values = headers.get(name.lower(), [])
    if len(values) != 1:
        raise Rejected(f"header {name} is missing" if not values else f"header {name} is there more than once")
    return values[0]


def _secret(verification: Verification) -> bytes:
    if not verification.secret:
        raise Rejected(f"the webhook is {verification.verifier} and has no secret configured")
    return verification.secret.encode()


def _hmac(secret: bytes, data: bytes) -> bytes:
    return hmac.new(secret, data, hashlib.sha256).digest()


def _compare(given: str, expected: str, name: str) -> None:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise Rejected(f"header {name} does not match")


def _recent(timestamp: str, now: float) -> str:
    if not _DIGITS.fullmatch(timestamp):
        raise Rejected("the delivery's time is missing or no number")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise Rejected(f"the delivery's time is more than {TOLERANCE} seconds from the server's")
    return timestamp
