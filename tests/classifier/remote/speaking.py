"""A stranger on the server: says what no worker or door of ours would say."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from classifier.inputs import Rows
from classifier.remote import messages
from classifier.remote.client import Workers
from classifier.remote.identity import asked, key, told
from classifier.remote.messages import QUEUE, Hello, Offer, encode, to_worker
from classifier.remote.packing import pack
from tests import net
from tests.sleeping import CONCEPTS, Sleeps, settings

TOLD = told([Sleeps()], asked(settings("nats://a"), CONCEPTS))
JUDGE = f"fediward.judge.{key(TOLD)}"
NAME = "hostile0"


@contextlib.asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    """Just a connection."""
    client = Client()
    await client.connect(url, **options)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def answering(url: str, answer: Callable[[Offer], bytes | None], name: str = NAME) -> AsyncIterator[list[Offer]]:
    """Looks like a worker, and answers each offer with ``answer``. Gives the offers that came."""
    offers: list[Offer] = []
    async with connected(url) as client:

        async def offered(message: Msg) -> None:
            came = to_worker(message.data)
            if isinstance(came, Offer):
                offers.append(came)
                if (said := answer(came)) is not None:
                    await client.publish(message.reply, said)

        async def who(message: Msg) -> None:
            await client.publish("fediward.hello", encode(Hello(name, "stranger", TOLD)))

        await client.subscribe("fediward.who", cb=who)
        await client.subscribe(JUDGE, queue=QUEUE, cb=offered)
        await client.subscribe(f"fediward.worker.{name}", cb=offered)
        await client.publish("fediward.hello", encode(Hello(name, "stranger", TOLD)))
        await client.flush()
        yield offers
        await client.publish("fediward.hello", encode(Hello(name, "stranger", TOLD, leaving=True)))
        await client.flush()


def offer(asked_for: Mapping[str, Rows], left: int = 5000, job: str = "0" * 16) -> Offer:
    """A job in one message."""
    data = pack(asked_for)
    return Offer(job, left, {name: len(part) for name, part in asked_for.items()}, len(data), data)


async def known(workers: Workers, count: int) -> None:
    """Wait until a door has met so many workers."""
    await workers.ready(10)
    await net.until(lambda: workers.known == count)


async def ask(client: Client, data: bytes, timeout: float = 5) -> messages.ToDoor:
    """Send something to the workers' common subject; the first answer."""
    return messages.to_door((await client.request(JUDGE, data, timeout=timeout)).data)
