"""A saga: when a step fails, what was done before is undone, the last step first.

You learn:
- `reserve.compensate_with(release)` says how a step is undone; the compensation gets what the step returned;
- the caller still gets the error of the step that failed;
- a compensation that fails doesn't keep the others from running; the error has a note about it.

    python -m examples.sequence_saga
"""

from typing import Any

from tenuto.sequence import Sequence, node

Order = dict[str, Any]

#: Stands in for the services outside.
ledger: list[str] = []


@node("reserve")
def reserve(order: Order) -> Order:
    ledger.append(f"{order['id']}: {order['item']} reserved")
    return {**order, "reservation": f"r-{order['id']}"}


@node("release")
def release(order: Order) -> None:
    ledger.append(f"{order['id']}: {order['reservation']} released")


@node("charge")
def charge(order: Order) -> Order:
    if order["card"] == "declined":
        raise ValueError("the card was declined")
    ledger.append(f"{order['id']}: charged")
    return {**order, "payment": f"p-{order['id']}"}


@node("refund")
def refund(order: Order) -> None:
    ledger.append(f"{order['id']}: {order['payment']} refunded")


@node("ship")
def ship(order: Order) -> str:
    if not order["address"]:
        raise ValueError("there is no address")
    ledger.append(f"{order['id']}: shipped")
    return f"parcel-{order['id']}"


workflow = Sequence(reserve.compensate_with(release) >> charge.compensate_with(refund) >> ship, name="order")

ORDERS: list[Order] = [
    {"id": 1, "item": "piano", "card": "valid", "address": "1 Main Street"},
    {"id": 2, "item": "violin", "card": "declined", "address": "2 Main Street"},
    {"id": 3, "item": "harp", "card": "valid", "address": ""},
]


def main() -> None:
    for order in ORDERS:
        try:
            print(f"{order['id']}: {workflow.execute(order)}")
        except ValueError as error:
            print(f"{order['id']}: failed, {error}")
    print("\n".join(ledger))


if __name__ == "__main__":
    main()
