"""Registration: a longer chain, with a decision and a loop.

You learn:
- a dict that grows from node to node is a good thing to pass on;
- `decision(condition >> node, _ >> node)` chooses by the value before it, and the chain after it goes on;
- a branch that names an earlier node goes back to it, `max_iter` times at most;
- in the strict mode of type checking, nodes that don't fit are refused while the chain is built.

    python -m examples.sequence_registration
"""

import hashlib
from typing import Any

from tenuto.sequence import Sequence, SharedState, _, decision, node, set_type_checking_mode, validate_sequence

User = dict[str, Any]

taken = {"ada", "ada1"}
letters: list[str] = []


@node("check")
def check(form: User) -> User:
    if "@" not in form["email"]:
        raise ValueError(f"{form['email']!r} is no address")
    return {**form, "name": form["email"].partition("@")[0], "tries": 0}


@node("choose_name")
def choose_name(user: User) -> User:
    suffix = str(user["tries"]) if user["tries"] else ""
    return {**user, "login": user["name"] + suffix, "tries": user["tries"] + 1}


@node("store")
def store(user: User, state: SharedState) -> User:
    state["stored"] = state.get("stored", 0) + 1
    secret = hashlib.scrypt(user["password"].encode(), salt=b"example", n=16, r=8, p=1).hex()
    return {"user_id": 100 + state["stored"], "login": user["login"], "email": user["email"], "secret": secret}


@node("welcome")
def welcome(user: User) -> User:
    letters.append(f"to {user['email']}: welcome, {user['login']}")
    return {**user, "welcomed": True}


def is_taken(user: User) -> bool:
    return user["login"] in taken


set_type_checking_mode(strict=True)
workflow = Sequence(
    check
    >> choose_name
    >> decision(is_taken >> choose_name, _ >> store, max_iter=5, raise_on_max_iter=True)
    >> welcome,
    name="registration",
)
set_type_checking_mode(strict=False)


def main() -> None:
    assert validate_sequence(workflow).is_valid
    for email in ["grace@example.org", "ada@example.org", "nobody"]:
        try:
            user = workflow.execute({"email": email, "password": "secret"})
            print(f"{user['user_id']}: {user['login']}")
        except ValueError as error:
            print(error)
    print("\n".join(letters))


if __name__ == "__main__":
    main()
