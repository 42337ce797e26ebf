"""Which fields hold a secret, or speak for a person, and which test plants one there."""

from typing import Final

IN_A_SHOP: Final = {
    "Device.token",
    "EmailAddress.address",
    "Feedback.feedback_token",
    "IdentityKey.secret",
    "NewWebhook.url",
    "Settings.bootstrap_key",
    "Settings.smtp_url",
    "WebhookPatch.url",
}
"""Planted by test_canaries.py."""

IN_A_BROUGHT_DATABASE: Final = {"Settings.bootstrap_key", "Settings.database_url", "Settings.encryption_keys"}
"""Planted by test_canaries_of_settings.py."""

NOWHERE: Final = {
    "Creative.image_url": "part of an offer, which everybody is shown; nothing of ours calls it",
    "Words.image_url": "as above, in another language",
}
"""Sound like one of these and are none, and why."""
