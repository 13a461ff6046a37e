"""All event buses of a process, by the scheme of a sink: `nats:orders` is subject `orders` of the bus `nats`."""

from __future__ import annotations

from tenuto.system_tasks.buses.bus import Bus, BusError, Handler, Message, Subscription
from tenuto.system_tasks.settings import BusSettings

#: Scheme of a sink to the extra of the package that brings its client.
EXTRAS = {
    "nats": "nats",
    "nats_stream": "nats",
    "jsm": "nats",
    "kafka": "kafka",
    "sqs": "sqs",
    "amqp": "amqp",
    "amqp_queue": "amqp",
    "amqp_exchange": "amqp",
}


class Buses:
    """Makes each bus when it is first needed, and closes all."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._buses: dict[str, Bus] = {}

    async def publish(self, sink: str, message: Message) -> None:
        """Publish to a sink such as `kafka:orders`. Raises BusError if it can't be done, or isn't accepted in time."""
        bus, destination = self._bus(sink)
        await bus.publish(destination, message)

    def subscribe(self, sink: str, handler: Handler) -> Subscription:
        """Hand the messages of `sink` to `handler`, until the subscription is closed.

        Raises BusError if there is no such bus, or the sink can't be read."""
        bus, destination = self._bus(sink)
        return bus.subscribe(destination, handler)

    async def aclose(self) -> None:
        """Close all connections. Subscriptions must have been closed before, or they connect again."""
        for bus in self._buses.values():
            await bus.aclose()

    def _bus(self, sink: str) -> tuple[Bus, str]:
        scheme, _, destination = sink.partition(":")
        if scheme not in EXTRAS:
            known = ", ".join(["conductor", *EXTRAS])
            raise BusError(f"there is no event bus {scheme!r}; a sink begins with one of {known}, and a colon")
        if scheme not in self._buses:
            try:
                self._buses[scheme] = _made(scheme, self._settings)
            except ImportError as error:
                raise BusError(
                    f"sink {sink}: {error.name} is not installed on the server; pip install 'tenuto[{EXTRAS[scheme]}]'"
                ) from error
        return self._buses[scheme], destination


def _made(scheme: str, settings: BusSettings) -> Bus:
    # Imported here: each needs a client library that only some installations have.
    if scheme == "nats":
        from tenuto.system_tasks.buses.nats import NatsBus

        return NatsBus(settings)
    if scheme in ("jsm", "nats_stream"):
        from tenuto.system_tasks.buses.jetstream import JetStreamBus

        return JetStreamBus(settings)
    if scheme == "kafka":
        from tenuto.system_tasks.buses.kafka import KafkaBus

        return KafkaBus(settings)
    if scheme == "sqs":
        from tenuto.system_tasks.buses.sqs import SqsBus

        return SqsBus(settings)
    from tenuto.system_tasks.buses.amqp import AmqpBus

    return AmqpBus("exchange" if scheme == "amqp_exchange" else "queue", settings)
