"""Retries with back-off: a service that is down for a moment.

You learn:
- `error_config` says what is tried again: how often (attempts in total), how long after, and by which strategy;
- the default strategy retries what may pass (connections, time-outs) and not what is a mistake (ValueError);
- what can't be helped is raised as it is, with a note that says where it happened.

    python -m examples.sequence_retry
"""

from typing import Any

from tenuto.sequence import Sequence, node

CONFIG = {"error_config": {"strategy": "default", "max_retries": 5, "base_delay": 0.01, "max_delay": 0.1}}

#: How often the exchange will still be out of reach.
outages = {"left": 2}


@node("fetch_rate")
def fetch_rate(currency: str) -> float:
    if not currency.isupper():
        raise ValueError(f"{currency!r} is no currency")
    if outages["left"]:
        outages["left"] -= 1
        raise ConnectionError("the exchange is out of reach")
    return 1.09


@node("convert")
def convert(rate: float) -> str:
    return f"100 are {100 * rate:.2f}"


workflow = Sequence(fetch_rate >> convert, name="exchange")


@workflow.hooks.on_error("fetch_rate")
def tell(context: dict[str, Any]) -> None:
    print(f"attempt {context['attempt_number']}: {context['error']}")


def main() -> None:
    outages["left"] = 2
    print(workflow.execute("EUR", config=CONFIG))
    try:
        workflow.execute("eur", config=CONFIG)
    except ValueError as error:
        print(f"{error}; {error.__notes__[0]}")


if __name__ == "__main__":
    main()
