"""The FCM channel as this installation is set up."""

from pathlib import Path
from typing import Final

import certifi

from push.fcm.channel import FcmChannel
from service.service_account import read_account
from service.settings import Settings

GOOGLE: Final = "https://fcm.googleapis.com"


def fcm_channel(settings: Settings) -> FcmChannel:
    """A channel that is not open yet.

    Raises:
        SettingsError: there is no service account, or it cannot be read.
    """
    account = read_account(settings.firebase_credentials)
    return FcmChannel(account, base_url=settings.fcm_base_url or GOOGLE, ca_file=Path(certifi.where()))
