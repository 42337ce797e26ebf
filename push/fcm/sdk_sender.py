"""firebase-admin's own sending, to measure ours by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import firebase_admin
from firebase_admin import credentials, messaging

from push.channel import Message
from push.fcm.message import sdk_message


class SdkSender:
    """The SDK's own sending, as its documentation has it: the yardstick of `welltimed bench push`, and of use for nothing else."""

    BATCH: Final = 500  # the SDK takes no more at once

    def __init__(self, service_account: Mapping[str, Any], base_url: str) -> None:
        """The SDK knows no other address than Google's, so it is put in the place of that. Once a process."""
        messaging._MessagingService.FCM_URL = f"{base_url}/v1/projects/{{0}}/messages:send"  # noqa: SLF001 - there is no other way
        self._app = firebase_admin.initialize_app(credentials.Certificate(dict(service_account)), name="yardstick")

    @staticmethod
    def ready(message: Message, now: datetime) -> messaging.Message:
        """The message in the SDK's types."""
        ttl = message.expires_at - now
        seconds, expiration = f"{ttl.total_seconds():.0f}", f"{message.expires_at.timestamp():.0f}"
        return sdk_message(message, ttl, seconds, expiration, "offers")

    async def send(self, messages: Sequence[messaging.Message]) -> int:
        """How many were taken."""
        taken = 0
        for start in range(0, len(messages), self.BATCH):
            batch = list(messages[start : start + self.BATCH])
            taken += (await messaging.send_each_async(batch, app=self._app)).success_count
        return taken
