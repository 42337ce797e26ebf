"""What firebase-admin's own sending costs, in a process of its own: `python -m push.bench.reference ACCOUNT URL MESSAGES`.

Prints `{messages, cpu_s, seconds}`. The messages are made before the clock starts, and nothing is claimed or settled.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from push.channel import Message
from push.fcm.sdk_sender import SdkSender

TOKEN: Final = f"dAbCdEfGhIj%012d:APA91b{'Q' * 128}"
"""A token as long as a real one."""

TITLE: Final = "20 % off your flat white"
BODY: Final = "Yours until six o'clock in the shop on the corner: show this at the till."
_LIFE: Final = timedelta(hours=4)


def data_of(number: int) -> dict[str, str]:
    """What an app is told beside the words."""
    return {"decision_id": str(UUID(int=number)), "offer_id": "flat-white", "deep_link": "app://offers/flat-white"}


def _message(number: int, now: datetime) -> Message:
    return Message(
        outbox_id=str(UUID(int=number)),
        address=TOKEN % number,
        address_kind="token",
        title=TITLE,
        body=BODY,
        data=data_of(number),
        collapse_id=str(UUID(int=number)),
        expires_at=now + _LIFE,
    )


async def measure(account: dict[str, Any], url: str, messages: int) -> dict[str, float]:
    """Connections, token and everything that is made once are paid for by a first batch, which is not counted."""
    now = datetime.now(UTC)
    sender = SdkSender(account, url)
    ready = [sender.ready(_message(number, now), now) for number in range(messages)]
    await sender.send(ready[: sender.BATCH])
    cpu_s, began = time.process_time(), time.perf_counter()
    taken = await sender.send(ready)
    figures = {"messages": taken, "cpu_s": time.process_time() - cpu_s, "seconds": time.perf_counter() - began}
    if taken < messages:
        raise RuntimeError(f"only {taken} of {messages} were taken")
    return figures


if __name__ == "__main__":
    account_file, url, messages = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(json.loads(Path(account_file).read_text()), url, int(messages)))))  # noqa: T201
