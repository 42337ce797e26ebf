"""The two bases of every struct: one strict for what comes in, one frozen for what we keep."""

import msgspec


class Incoming(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a client sent: an unknown field is an error, so that a typing mistake is told and not swallowed."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Something we made: unknown fields are ignored, so that an older program can read what a newer one wrote."""
