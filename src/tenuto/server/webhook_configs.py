"""Webhooks: who may deliver, and which workflows are told. What proves a sender is encrypted and never shown."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tenuto.cage.cage import Cage
from tenuto.cage.checking import check_javascript
from tenuto.cage.errors import ScriptError
from tenuto.engine.clock import Clock
from tenuto.model.json_values import Json
from tenuto.server.collection import Collection, checked_name
from tenuto.server.errors import ApiError, bad_request, fault
from tenuto.server.integrations import MASK
from tenuto.server.vault import Unreadable, Vault
from tenuto.store.protocol import Store
from tenuto.system_tasks.webhook_verifiers import Verification, VerifierName

logger = logging.getLogger("tenuto.webhooks")

SCRIPTS = ("", "javascript", "graaljs")


class Proof(Struct):
    """What only the sender and this server know."""

    headers: dict[str, str] = {}
    secret_key: str | None = None
    secret_value: str | None = None


class WebhookConfig(Struct, rename="camel", kw_only=True):
    """A webhook as clients see it. `secret_key` may name a secret of this server, which is then used."""

    id: str = ""
    name: str = ""
    source_platform: str | None = None
    verifier: VerifierName | None = None
    headers: dict[str, str] = {}
    header_key: str | None = None
    secret_key: str | None = None
    secret_value: str | None = None
    receiver_workflow_names_to_versions: dict[str, int | None] = {}
    """Whose WAIT_FOR_WEBHOOK tasks are completed; version 0 or null is any."""
    workflows_to_start: dict[str, Json] = {}
    """Which are started by every delivery, by name and version; 0 or null is the latest."""
    expression: str | None = None
    """JavaScript over the payload `$`; a delivery for which it is not true changes nothing."""
    evaluator_type: str | None = None
    url_verified: bool = False
    """Whether a genuine delivery has come."""
    created_by: str | None = None


class StoredWebhook(Struct, kw_only=True):
    """A webhook as the store has it: `config` without what is sealed."""

    config: WebhookConfig
    sealed: bytes


class Webhooks(Collection[StoredWebhook]):
    """The webhooks, by id."""

    def __init__(self, store: Store, clock: Clock, vault: Vault, secret: Callable[[str], str | None]) -> None:
        super().__init__(store, clock, "webhooks", StoredWebhook)
        self._vault = vault
        self._secret = secret

    async def save(self, config: WebhookConfig) -> StoredWebhook:
        """Create or replace a webhook; masked values stay what they were."""
        known = self.get(config.id)
        proof = _proof(config, Proof() if known is None else self._open(known))
        _check_proof(config, proof)
        sealed = self._vault.seal(f"webhook {config.id}", msgspec.json.encode(proof))
        plain = replace(config, headers={}, secret_key=None, secret_value=None)
        stored = StoredWebhook(config=plain, sealed=sealed)
        await self.put(config.id, stored)
        return stored

    async def note_verified(self, webhook: StoredWebhook) -> None:
        """A genuine delivery has come."""
        if webhook.config.url_verified:
            return

        def noted(before: StoredWebhook | None) -> StoredWebhook:
            known = before or webhook
            return replace(known, config=replace(known.config, url_verified=True))

        await self.change(webhook.config.id, noted)

    def masked(self, webhook: StoredWebhook) -> WebhookConfig:
        """A webhook as it is shown."""
        proof = self._open(webhook)
        return replace(
            webhook.config,
            headers=dict.fromkeys(proof.headers, MASK),
            secret_key=MASK if proof.secret_key else None,
            secret_value=MASK if proof.secret_value else None,
        )

    def verification(self, webhook: StoredWebhook) -> Verification:
        """What a delivery has to prove."""
        config, proof = webhook.config, self._open(webhook)
        secret = proof.secret_value
        if not secret and proof.secret_key:
            secret = self._secret(proof.secret_key) or proof.secret_key
        return Verification(
            verifier=config.verifier or "HEADER_BASED",
            headers=proof.headers,
            header_key=config.header_key,
            secret=secret,
        )

    def _open(self, webhook: StoredWebhook) -> Proof:
        name = f"webhook {webhook.config.id}"
        try:
            return msgspec.json.decode(self._vault.open(name, webhook.sealed), type=Proof)
        except Unreadable as error:
            logger.error("%s", error, extra={"action": "webhook_unreadable"})
            return Proof()


def _proof(config: WebhookConfig, known: Proof) -> Proof:
    headers = {
        name: known.headers.get(name, value) if value == MASK else value for name, value in config.headers.items()
    }
    key = known.secret_key if config.secret_key == MASK else config.secret_key
    value = known.secret_value if config.secret_value == MASK else config.secret_value
    return Proof(headers, key, value)


def _check_proof(config: WebhookConfig, proof: Proof) -> None:
    if config.verifier == "HEADER_BASED":
        if not proof.headers or not all(proof.headers.values()):
            raise _wrong("headers", "a webhook that is HEADER_BASED needs headers, each with a value")
    elif not (proof.secret_value or proof.secret_key):
        raise _wrong("secretValue", f"a webhook that is {config.verifier} needs a secret")


async def check_webhook(cage: Cage, config: WebhookConfig) -> None:
    """Raises ApiError (400) that names what is wrong with a webhook."""
    checked_name(config.name, "a webhook")
    if config.verifier is None:
        raise _wrong("verifier", "is missing: without one, anybody could complete tasks")
    if not config.receiver_workflow_names_to_versions and not config.workflows_to_start:
        raise _wrong("receiverWorkflowNamesToVersions", "names no workflow, and workflowsToStart neither")
    for name, version in config.workflows_to_start.items():
        if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
            raise _wrong(f"workflowsToStart.{name}", "the version must be a number")
    if not (config.expression or "").strip():
        return
    if (config.evaluator_type or "").lower() not in SCRIPTS:
        raise _wrong("evaluatorType", f"{config.evaluator_type!r} is unknown; use javascript")
    try:
        await check_javascript(cage, config.expression or "")
    except ScriptError as error:
        raise _wrong("expression", str(error)) from None


def _wrong(path: str, message: str) -> ApiError:
    error = bad_request(f"the webhook is not valid: {path}: {message}")
    error.faults = [fault(path, message)]
    return error
