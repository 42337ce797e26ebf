"""What a person asks for and allows, as the app sends and sees it."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from schema.base import Incoming
from schema.contact_rules import WINDOWS_MAX, PushCount, QuietHours
from schema.event import Instant, Text


class PreferencesPatch(Incoming, frozen=True):
    """The body of PATCH /v1/users/{id}/preferences: changes, not a new state, so that two phones cannot undo each other's.

    remove_vetoes is the undo of a thumbs-down, remove_snoozes of a not-now; muted_until lies within ten years, and null ends a
    mute. quiet_hours replace the person's own; they come on top of everybody's. pushes_per_day_max counts any 24 hours,
    pushes_per_week_max any seven days; null lifts the person's own limit, and everybody's stays.
    """

    add_vetoes: Annotated[list[Text], Meta(max_length=1000)] = []
    remove_vetoes: Annotated[list[Text], Meta(max_length=1000)] = []
    remove_snoozes: Annotated[list[Text], Meta(max_length=1000)] = []
    muted_until: Instant | msgspec.UnsetType | None = msgspec.UNSET
    quiet_hours: Annotated[list[QuietHours], Meta(max_length=WINDOWS_MAX)] | msgspec.UnsetType = msgspec.UNSET
    pushes_per_day_max: PushCount | msgspec.UnsetType | None = msgspec.UNSET
    pushes_per_week_max: PushCount | msgspec.UnsetType | None = msgspec.UNSET


class Snooze(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that is not shown before an instant."""

    offer_id: str
    until: datetime


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has asked for: offers never to be shown, offers not to be shown now, silence, and when and how often to be pushed."""

    vetoes: list[str]
    snoozes: list[Snooze]
    muted_until: datetime | None
    quiet_hours: list[QuietHours]
    pushes_per_day_max: int | None
    pushes_per_week_max: int | None
    feedback_applied_through: datetime | None


class ConsentPatch(Incoming, frozen=True):
    """The body of PATCH /v1/users/{id}/consent; what is not named stays."""

    push: bool | None = None
    email: bool | None = None
    personalization: bool | None = None


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What a person allows; e-mail only when they said so. opted_out_at is the instant of an opt-out from push that still holds."""

    push: bool
    email: bool
    personalization: bool
    opted_out_at: datetime | None
    feedback_applied_through: datetime | None
