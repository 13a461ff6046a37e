"""Encryption of what must not be readable in the store (AES-256-GCM; the name of a thing is authenticated with it)."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path
from urllib.parse import unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenuto.server.settings import Settings, SettingsError

KEY_BYTES = 32
NONCE_BYTES = 12


class Unreadable(Exception):
    """What is stored was encrypted with another key, or is damaged."""


class Vault:
    """Encrypts and decrypts with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, name: str, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """What was sealed under `name`. Raises Unreadable."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise Unreadable(f"{name!r} can't be decrypted: it was stored with another secrets_key") from None


def open_vault(settings: Settings) -> Vault:
    """The vault that the settings describe; makes a key where there may be one of its own (memory, a SQLite file).

    Raises SettingsError if there is no usable key."""
    if settings.secrets_key:
        return Vault(_decoded(settings.secrets_key, "secrets_key"))
    if settings.secrets_key_file:
        return Vault(_read(Path(settings.secrets_key_file)))
    if settings.db.startswith("memory://"):
        return Vault(secrets.token_bytes(KEY_BYTES))
    if settings.db.startswith("sqlite:///"):
        database = unquote(settings.db.removeprefix("sqlite:///").partition("?")[0])
        return Vault(_kept_in(Path(f"{database}.secrets-key")))
    raise SettingsError("servers that share a database need the same secrets_key (or secrets_key_file); set it")


def _kept_in(path: Path) -> bytes:
    """The key in the file, which is made if it isn't there."""
    text = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES))
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        if not path.exists():
            # Written aside and linked, so that nobody ever reads half a key; the first of several processes wins.
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                _publish(partial, path)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"the key for secrets can't be written to {path}: {error.strerror}") from None
    return _read(path)


def _publish(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        return


def _read(path: Path) -> bytes:
    try:
        return _decoded(path.read_text().strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the key for secrets can't be read from {path}: {error}") from None


def _decoded(text: str, source: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{source} is no key: {KEY_BYTES} bytes in URL-safe base64 are expected")
    return key
