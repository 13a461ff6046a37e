"""Which deliveries of webhooks are believed, and which waiting tasks they are for."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tenuto.system_tasks.json_path import BadPath
from tenuto.system_tasks.webhook_matching import matches
from tenuto.system_tasks.webhook_verifiers import (
    Rejected,
    Verification,
    slack_challenge,
    twitter_response_token,
    verify,
)

NOW = 1_700_000_000.0
BODY = b'{"a": 1}'


def digest(secret: bytes, data: bytes) -> bytes:
    return hmac.new(secret, data, hashlib.sha256).digest()


def accepts(verification: Verification, headers: dict[str, str], body: bytes = BODY, now: float = NOW) -> bool:
    try:
        verify(verification, {name.lower(): [value] for name, value in headers.items()}, body, now)
    except Rejected:
        return False
    return True


def test_header_based() -> None:
    wanted = Verification(verifier="HEADER_BASED", headers={"X-Key": "k", "X-Other": "o"})
    assert accepts(wanted, {"x-key": "k", "x-other": "o", "more": "m"})
    assert not accepts(wanted, {"x-key": "k"})
    assert not accepts(wanted, {"x-key": "k", "x-other": "O"})
    assert not accepts(wanted, {"x-key": "k", "x-other": "\xfc"})
    with pytest.raises(Rejected, match="more than once"):
        verify(wanted, {"x-key": ["k", "k"], "x-other": ["o"]}, BODY, NOW)
    with pytest.raises(Rejected, match="no headers configured"):
        verify(Verification(verifier="HEADER_BASED"), {}, BODY, NOW)


def test_signature_based() -> None:
    # The example that GitHub documents.
    github = Verification(verifier="SIGNATURE_BASED", secret="It's a Secret to Everybody")
    good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert accepts(github, {"X-Hub-Signature-256": good}, b"Hello, World!")
    assert not accepts(github, {"X-Hub-Signature-256": good}, b"Hello, World?")
    own_header = Verification(verifier="SIGNATURE_BASED", secret="It's a Secret to Everybody", header_key="X-Mine")
    assert accepts(own_header, {"x-mine": good}, b"Hello, World!")
    with pytest.raises(Rejected, match="no secret configured"):
        verify(Verification(verifier="SIGNATURE_BASED"), {"x-hub-signature-256": [good]}, BODY, NOW)


def test_hmac_based() -> None:
    wanted = Verification(verifier="HMAC_BASED", secret=base64.b64encode(b"key").decode(), header_key="X-Sign")
    signed = digest(b"key", BODY)
    assert accepts(wanted, {"X-Sign": base64.b64encode(signed).decode()})
    assert accepts(wanted, {"X-Sign": signed.hex()})
    assert not accepts(wanted, {"X-Sign": base64.b64encode(digest(b"other", BODY)).decode()})
    with pytest.raises(Rejected, match="not base64"):
        verify(Verification(verifier="HMAC_BASED", secret="!", header_key="x"), {"x": ["y"]}, BODY, NOW)


def test_slack() -> None:
    slack = Verification(verifier="SLACK_BASED", secret="shh")
    signature = "v0=" + digest(b"shh", b"v0:1700000000:" + BODY).hex()
    headers = {"X-Slack-Request-Timestamp": "1700000000", "X-Slack-Signature": signature}
    assert accepts(slack, headers)
    assert accepts(slack, headers, now=NOW + 299)
    assert not accepts(slack, headers, now=NOW + 301)
    assert not accepts(slack, headers, now=NOW - 301)
    assert not accepts(slack, {**headers, "X-Slack-Request-Timestamp": "1700000001"})
    assert not accepts(slack, {**headers, "X-Slack-Request-Timestamp": "soon"})
    assert slack_challenge({"type": "url_verification", "challenge": "abc"}) == "abc"
    assert slack_challenge({"type": "message", "challenge": "abc"}) is None


def test_stripe() -> None:
    stripe = Verification(verifier="STRIPE", secret="whsec")
    good = digest(b"whsec", b"1700000000." + BODY).hex()
    assert accepts(stripe, {"Stripe-Signature": f"t=1700000000,v1={'0' * 64},v1={good}"})
    assert not accepts(stripe, {"Stripe-Signature": f"t=1700000000,v0={good}"})
    assert not accepts(stripe, {"Stripe-Signature": f"t=1700000001,v1={good}"})
    assert not accepts(stripe, {"Stripe-Signature": f"v1={good}"})
    assert not accepts(stripe, {"Stripe-Signature": f"t=1700000000,v1={good}"}, now=NOW + 1000)


def test_twitter() -> None:
    twitter = Verification(verifier="TWITTER", secret="consumer")
    good = "sha256=" + base64.b64encode(digest(b"consumer", BODY)).decode()
    assert accepts(twitter, {"X-Twitter-Webhooks-Signature": good})
    assert not accepts(twitter, {"X-Twitter-Webhooks-Signature": good}, b"other")
    expected = "sha256=" + base64.b64encode(digest(b"consumer", b"token")).decode()
    assert twitter_response_token("consumer", "token") == expected


def test_sendgrid() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    sendgrid = Verification(verifier="SENDGRID", secret=base64.b64encode(public).decode())
    signature = base64.b64encode(private.sign(b"1700000000" + BODY, ec.ECDSA(hashes.SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Timestamp": "1700000000",
        "X-Twilio-Email-Event-Webhook-Signature": signature,
    }
    assert accepts(sendgrid, headers)
    assert not accepts(sendgrid, headers, b"other")
    assert not accepts(sendgrid, {**headers, "X-Twilio-Email-Event-Webhook-Signature": "AAAA"})
    assert not accepts(sendgrid, headers, now=NOW + 1000)
    with pytest.raises(Rejected, match="no public key"):
        verify(
            Verification(verifier="SENDGRID", secret="AAAA"), {k.lower(): [v] for k, v in headers.items()}, BODY, NOW
        )


@pytest.mark.parametrize(
    ("expected", "payload", "matching"),
    [
        ({"$['type']": "created", "$.customer.id": 7}, {"type": "created", "customer": {"id": 7.0}}, True),
        ({"type": "created"}, {"type": "created", "more": 1}, True),
        ({"type": "created", "id": 7}, {"type": "created"}, False),
        ({"$.type": None}, {}, False),
        ({"$.type": None}, {"type": None}, True),
        ({"$.flag": True}, {"flag": 1}, False),
        ({"$.items[*].id": 2}, {"items": [{"id": 1}, {"id": 2}]}, True),
        ({"$.a": {"b": [1, True]}}, {"a": {"b": [1, True]}}, True),
        ({"$.a": {"b": [1, True]}}, {"a": {"b": [1, 1]}}, False),
        ({"$.a": [1]}, {"a": 1}, False),
        ({"a.b": 1}, {"a.b": 1}, True),
        ({"type": "x"}, ["type"], False),
        ({}, {"anything": 1}, True),
    ],
)
def test_matching(expected: dict[str, Any], payload: Any, matching: bool) -> None:
    assert matches(expected, payload) is matching


def test_a_broken_path_is_told() -> None:
    with pytest.raises(BadPath, match=r"\$\.a\["):
        matches({"$.a[": 1}, {})
