"""The channels besides push that send something, as this installation is set up."""

from collections.abc import Mapping
from typing import Any

from push.channel import Channel
from push.webhooks.channel import WebhookChannel
from schema import decision
from service.settings import Settings


def other_channels(settings: Settings, pool: Any) -> Mapping[decision.Channel, Channel]:
    """By what a decision calls them; none is open yet."""
    return {decision.Channel.WEBHOOK: WebhookChannel(pool, may_be_local=settings.webhooks_may_be_local)}
