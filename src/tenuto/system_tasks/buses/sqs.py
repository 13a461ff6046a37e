"""Amazon SQS: `sqs:<queue name>`, or `sqs:<queue URL>`. A queue that is missing is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from aiobotocore.session import get_session  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from tenuto.system_tasks.buses.bus import BusError, Handler, Message
from tenuto.system_tasks.buses.shared import Shared
from tenuto.system_tasks.buses.subscriber import Subscriber, redelivery_delay, taken
from tenuto.system_tasks.settings import BusSettings

#: The message attribute that carries a message's id.
MESSAGE_ID = "message-id"
_BATCH = 10


class SqsBus:
    """A `Bus` over queues of one account and region."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._client = Shared[tuple[Any, AsyncExitStack]](self._connect, _close)
        self._urls: dict[str, str] = {}

    async def publish(self, destination: str, message: Message) -> None:
        attributes = {**message.headers, MESSAGE_ID: message.id}
        options: dict[str, Any] = {}
        if destination.endswith(".fifo"):
            options = {"MessageGroupId": message.id, "MessageDeduplicationId": message.id}
        try:
            async with asyncio.timeout(self._settings.timeout):
                client, _ = await self._client.get()
                await client.send_message(
                    QueueUrl=await self._url(client, destination),
                    MessageBody=message.payload.decode(),
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                    },
                    **options,
                )
        except UnicodeDecodeError:
            raise BusError(f"SQS queue {destination}: the message is no UTF-8 text, and SQS takes only text") from None
        except (OSError, TimeoutError, BotoCoreError, ClientError) as error:
            self._urls.pop(destination, None)
            reason = str(error) or f"not accepted within {self._settings.timeout:g} s"
            raise BusError(f"SQS queue {destination}: {reason}") from None

    def subscribe(self, destination: str, handler: Handler) -> Subscriber:
        if not destination:
            raise BusError("an SQS destination is the name or URL of a queue: sqs:<queue>")
        source = f"sqs:{destination}"

        async def consume(connected: Callable[[], None]) -> None:
            client, _ = await self._client.get()
            self._urls.pop(destination, None)  # the queue may have been made anew since
            url = await self._url(client, destination)
            connected()
            while True:
                answer = await client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_BATCH,
                    WaitTimeSeconds=self._settings.sqs.wait,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                )
                received = answer.get("Messages", [])
                await asyncio.gather(*(_deliver(client, url, source, handler, message) for message in received))

        return Subscriber(source, consume)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _connect(self) -> tuple[Any, AsyncExitStack]:
        settings = self._settings.sqs
        timeout = self._settings.timeout
        stack = AsyncExitStack()
        client = await stack.enter_async_context(
            get_session().create_client(
                "sqs",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=settings.secret_access_key,
                config=AioConfig(connect_timeout=timeout, read_timeout=settings.wait + timeout),
            )
        )
        return client, stack

    async def _url(self, client: Any, destination: str) -> str:
        if destination.startswith(("http://", "https://")):
            return destination
        if destination not in self._urls:
            try:
                answer = await client.get_queue_url(QueueName=destination)
            except client.exceptions.QueueDoesNotExist:
                attributes = {"FifoQueue": "true"} if destination.endswith(".fifo") else {}
                answer = await client.create_queue(QueueName=destination, Attributes=attributes)
            self._urls[destination] = answer["QueueUrl"]
        return self._urls[destination]


async def _deliver(client: Any, url: str, source: str, handler: Handler, received: dict[str, Any]) -> None:
    headers = {
        name: attribute["StringValue"]
        for name, attribute in received.get("MessageAttributes", {}).items()
        if "StringValue" in attribute
    }
    message_id = headers.pop(MESSAGE_ID, None) or received["MessageId"]
    if await taken(source, handler, Message(message_id, received["Body"].encode(), headers)):
        await client.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
        return
    deliveries = int(received.get("Attributes", {}).get("ApproximateReceiveCount", 1))
    await client.change_message_visibility(
        QueueUrl=url,
        ReceiptHandle=received["ReceiptHandle"],
        VisibilityTimeout=round(redelivery_delay(deliveries)),
    )


async def _close(connection: tuple[Any, AsyncExitStack]) -> None:
    await connection[1].aclose()
