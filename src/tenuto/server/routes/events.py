"""Event handlers, the messages that came, and what was done about them."""

from __future__ import annotations

from msgspec import Struct
from starlette.responses import Response

from tenuto.model.json_values import Json, encode_json
from tenuto.server.collection import key_of
from tenuto.server.errors import ApiError, bad_request, conflict, not_found
from tenuto.server.event_handlers import EventHandler, EventHandlers, check_handler, is_outside
from tenuto.server.event_records import EventExecution
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family
from tenuto.server.shown import shown
from tenuto.server.tags import Tag
from tenuto.system_tasks.buses.bus import BusError, Message

events = Family("Events", "EVENT")

#: Event handlers in one request.
MOST_HANDLERS = 1_000


# -- handlers ----------------------------------------------------------------------------------------------------------


@events.post("/event", body=EventHandler)
async def create(call: Call) -> Response:
    """Register an event handler, or several; 409 if there is one of that name."""
    handlers = await _given(call)
    for handler in handlers:
        if _handlers(call).get(handler.name) is not None:
            raise _exists(handler)
    for handler in handlers:
        tags, handler.tags = handler.tags, None
        if not await _handlers(call).create(handler.name, handler):
            raise _exists(handler)
        await _set_tags(call, handler, tags)
    return empty()


@events.put("/event", body=EventHandler)
async def update(call: Call) -> Response:
    """Replace an event handler, or several; 404 if there is none of that name."""
    handlers = await _given(call)
    for handler in handlers:
        _existing(call, handler.name)
    for handler in handlers:
        tags, handler.tags = handler.tags, None
        await _handlers(call).put(handler.name, handler)
        await _set_tags(call, handler, tags)
    return empty()


async def _set_tags(call: Call, handler: EventHandler, tags: list[Tag] | None) -> None:
    if tags is not None:
        await call.services.configuration.tags.set("EVENT_HANDLER", handler.name, tags)


async def _given(call: Call) -> list[EventHandler]:
    given: EventHandler | list[EventHandler] = await call.decode(EventHandler | list[EventHandler])  # type: ignore[arg-type]
    handlers = given if isinstance(given, list) else [given]
    if len(handlers) > MOST_HANDLERS:
        raise bad_request(f"{len(handlers)} event handlers at once; at most {MOST_HANDLERS} are possible")
    for handler in handlers:
        await check_handler(call.services.cage, handler)
        handler.created_by = handler.created_by or call.caller.name
    return handlers


@events.get("/event", answer=list[EventHandler])
@events.get("/event/handler", answer=list[EventHandler])
async def everything(call: Call) -> Response:
    """All event handlers."""
    return json_response([_view(call, handler) for handler in _handlers(call).all()])


class ActiveQuery(Struct, rename="camel"):
    active_only: bool = True


@events.get("/event/{event}", query=ActiveQuery, answer=list[EventHandler])
async def for_event(call: Call) -> Response:
    """The handlers of one event."""
    active, event = call.query(ActiveQuery).active_only, call.path_params["event"]
    found = [handler for handler in _handlers(call).all() if handler.event == event]
    return json_response([_view(call, handler) for handler in found if handler.active or not active])


@events.get("/event/handler/{name}", answer=EventHandler)
async def one(call: Call) -> Response:
    """One event handler."""
    return json_response(_view(call, _existing(call, call.path_params["name"])))


@events.delete("/event/{name}")
async def delete(call: Call) -> Response:
    """Delete an event handler."""
    name = _existing(call, call.path_params["name"]).name
    await _handlers(call).delete(name)
    await call.services.configuration.tags.forget("EVENT_HANDLER", name)
    return empty()


def _must_exist(call: Call) -> None:
    _existing(call, call.path_params["name"])


tag_routes(events, "/event/{name}/tags", "EVENT_HANDLER", must_exist=_must_exist)


# -- what happened -----------------------------------------------------------------------------------------------------


@events.get("/event/execution")
async def handled(call: Call) -> Response:
    """How many messages each handler was run for, and why none come at present, if so."""
    events = call.services.events
    await events.records.catch_up()
    keys = events.records.executions.keys()
    results: list[Json] = []
    for handler in _handlers(call).all():
        own = [key for key in keys if key.startswith(key_of(handler.name, ""))]
        messages = len({key.rpartition("_")[0] for key in own})
        problem = events.sources.problem(handler.event)
        stats = _stats(handler.event, handler.active, messages) | _of_handler(handler)
        results.append(stats | ({"problem": problem} if problem else {}))
    return json_response({"totalHits": len(results), "results": results})


@events.get("/event/execution/{handler}", answer=list[EventExecution])
async def executions(call: Call) -> Response:
    """What the actions of a handler came to, newest first."""
    found = await call.services.events.records.executions.all(key_of(call.path_params["handler"], ""))
    return json_response([shown(execution) for execution in found])


class FromQuery(Struct, rename={"since": "from"}):
    since: int = 0


@events.get("/event/message", query=FromQuery)
async def messages(call: Call) -> Response:
    """How many messages of each event came."""
    records, since = call.services.events.records, call.query(FromQuery).since * 1_000_000
    await records.catch_up()
    counts: dict[str, int] = {}
    for key in records.messages.keys(since=since):
        event = key.partition(key_of("", ""))[0]
        counts[event] = counts.get(event, 0) + 1
    active = {handler.event for handler in _handlers(call).all() if handler.active}
    results = [_stats(event, event in active, number) for event, number in sorted(counts.items())]
    return json_response({"totalHits": len(results), "results": results})


@events.get("/event/message/{event}", query=FromQuery)
async def messages_of(call: Call) -> Response:
    """The messages of an event that were dealt with, and what was done, newest first."""
    records, since = call.services.events.records, call.query(FromQuery).since
    event = call.path_params["event"]
    done: dict[str, list[Json]] = {}
    for execution in await records.executions.all():
        if execution.event == event:
            done.setdefault(execution.message_id, []).append(shown(execution))
    found = [message for message in await records.messages.all(key_of(event, "")) if message.created_at >= since]
    return json_response(
        [
            {
                "id": message.id,
                "eventType": "MESSAGE",
                "eventTarget": event,
                "createdAt": message.created_at,
                "status": "HANDLED",
                "fullPayload": message.payload,
                "payload": encode_json(message.payload).decode(),
                "eventExecutions": done.get(message.id, []),
            }
            for message in found
        ]
    )


def _stats(event: str, active: bool, messages: int) -> dict[str, Json]:
    return {"event": event, "active": active, "numberOfMessages": messages}


def _of_handler(handler: EventHandler) -> dict[str, Json]:
    return {"name": handler.name, "numberOfActions": len(handler.actions)}


class IncomingEvent(Struct, rename="camel", kw_only=True):
    """A message brought over HTTP. One with an id that has come before is the same message."""

    event: str
    payload: dict[str, Json] | None = None
    message_id: str | None = None


@events.post("/event/handleIncomingEvent", body=IncomingEvent, access="EXECUTE")
async def incoming(call: Call) -> Response:
    """Put a message into the queue `event`; without `payload`, the body itself is the payload."""
    given = await call.decode(IncomingEvent)
    payload = await call.json_object() if given.payload is None else given.payload
    if not given.event.strip():
        raise bad_request("the body must name the event that the message is of")
    await _publish(call, given.event, payload, given.message_id or call.services.new_id())
    return empty()


async def _publish(call: Call, event: str, payload: dict[str, Json], message_id: str) -> None:
    try:
        await call.services.events.publish(event, payload, message_id=message_id)
    except BusError as error:
        raise ApiError(429, str(error), retryable=True) from None


# -- queues ------------------------------------------------------------------------------------------------------------


@events.get("/event/queue/config", answer=dict[str, str])
async def queue_configs(call: Call) -> Response:
    """The queues that have a configuration: name to type."""
    configs = call.services.configuration.queue_configs.all()
    return json_response({config.queue_name: config.queue_type for config in configs})


_CONFIG = "/event/queue/config/{queueType}/{queueName}"


@events.get(_CONFIG, answer=dict[str, Json])
async def queue_config(call: Call) -> Response:
    """The configuration of a queue."""
    value = call.services.configuration.queue_configs.value(*_queue(call))
    if value is None:
        raise _no_config(call)
    return json_response(value)


@events.put(_CONFIG, body=dict[str, Json])
async def save_queue_config(call: Call) -> Response:
    """Store the configuration of a queue. Connections are made by the server's own settings."""
    await call.services.configuration.queue_configs.save(*_queue(call), await call.json_object())
    return empty()


@events.delete(_CONFIG)
async def delete_queue_config(call: Call) -> Response:
    """Forget the configuration of a queue."""
    if not await call.services.configuration.queue_configs.delete(key_of(*_queue(call))):
        raise _no_config(call)
    return empty()


def _queue(call: Call) -> tuple[str, str]:
    return call.path_params["queueType"], call.path_params["queueName"]


def _no_config(call: Call) -> ApiError:
    return not_found(f"there is no configuration of the queue {':'.join(_queue(call))!r}")


class ConnectivityTest(Struct, kw_only=True):
    sink: str
    input: dict[str, Json] = {}


@events.post("/event/queue/connectivity", body=ConnectivityTest, access="EXECUTE")
async def connectivity(call: Call) -> Response:
    """Publish a message to a sink and say whether that worked."""
    test = await call.decode(ConnectivityTest)
    services, message_id = call.services, call.services.new_id()
    try:
        if is_outside(test.sink):
            await services.system_tasks.buses.publish(test.sink, Message(message_id, encode_json(test.input)))
        elif not test.sink.strip():
            raise bad_request("the sink is missing")
        elif test.sink.startswith("conductor:"):
            await services.events.publish(test.sink, test.input, message_id=message_id)
        else:
            raise BusError(f"there is no event bus for the sink {test.sink!r}")
    except BusError as error:
        return json_response({"successful": False, "reason": str(error)})
    return json_response({"successful": True})


def _handlers(call: Call) -> EventHandlers:
    return call.services.configuration.event_handlers


def _existing(call: Call, name: str) -> EventHandler:
    handler = _handlers(call).get(name)
    if handler is None:
        raise not_found(f"there is no event handler {name!r}")
    return handler


def _exists(handler: EventHandler) -> ApiError:
    return conflict(f"there is an event handler {handler.name!r} already; PUT replaces it")


def _view(call: Call, handler: EventHandler) -> dict[str, Json]:
    return shown(handler) | {"tags": call.services.configuration.tags.of("EVENT_HANDLER", handler.name)}
