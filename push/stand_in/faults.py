"""What goes wrong at the stand-in: by the prefix of an address for ever, or by a fault that a test sets over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from push.stand_in.verdict import UNAUTHENTICATED, Refusal

Mode = Literal[
    "UNREGISTERED",
    "INVALID_ARGUMENT",
    "SENDER_ID_MISMATCH",
    "THIRD_PARTY_AUTH_ERROR",
    "401",
    "429",
    "500",
    "503",
    "hang",
    "slow",
    "reset",
    "GOAWAY",
]
"""How a send request fares. Those in capitals and numbers are refused as FCM refuses them, and no phone gets the message.

hang, slow and reset: the phone gets it; the answer never comes, comes late, or the stream is reset instead.
GOAWAY: the connection is ended with this request as one that was certainly never processed; no phone gets it.
"""

_REFUSALS: Final[dict[str, Refusal]] = {
    "UNREGISTERED": Refusal(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"),
    "INVALID_ARGUMENT": Refusal(
        400,
        "INVALID_ARGUMENT",
        "The registration token is not a valid FCM registration token",
        "INVALID_ARGUMENT",
    ),
    "SENDER_ID_MISMATCH": Refusal(403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH"),
    "THIRD_PARTY_AUTH_ERROR": Refusal(
        401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", "THIRD_PARTY_AUTH_ERROR"
    ),
    "401": UNAUTHENTICATED,
    "429": Refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", "QUOTA_EXCEEDED", retry_after_s=2),
    "500": Refusal(500, "INTERNAL", "Internal error encountered.", "INTERNAL"),
    "503": Refusal(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"),
}


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mode and whom it meets: one address (`token`), all that begin with `prefix`, or with neither the whole project."""

    mode: Mode
    token: str | None = None
    prefix: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """So many requests are met, then it is over; None for ever."""
    retry_after_s: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Of a refusal; else what FCM says, which is 2 for 429 and nothing for the others."""
    delay_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Of slow; else the stand-in's own."""

    def meets(self, address: str) -> bool:
        """Whether it is about this address."""
        if self.token is not None:
            return self.token == address
        return self.prefix is None or address.startswith(self.prefix)

    @property
    def refusal(self) -> Refusal | None:
        """The error to answer with; none for the modes of the connection."""
        refusal = _REFUSALS.get(self.mode)
        if refusal is None or self.retry_after_s is None:
            return refusal
        return msgspec.structs.replace(refusal, retry_after_s=self.retry_after_s)


class FaultList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /faults; the first that meets an address counts."""

    faults: tuple[Fault, ...]


_BY_PREFIX: Final[dict[str, Fault]] = {
    "gone": Fault(mode="UNREGISTERED"),
    "bad": Fault(mode="INVALID_ARGUMENT"),
    "sender": Fault(mode="SENDER_ID_MISMATCH"),
    "apns": Fault(mode="THIRD_PARTY_AUTH_ERROR"),
    "quota": Fault(mode="429"),
    "int": Fault(mode="500"),
    "down": Fault(mode="503"),
    "hang": Fault(mode="hang"),
    "slow": Fault(mode="slow"),
    "reset": Fault(mode="reset"),
    "goaway": Fault(mode="GOAWAY"),
}


class Faults:
    """The faults in force, with how often each has been met."""

    def __init__(self) -> None:
        self._faults: Sequence[Fault] = ()
        self._met: list[int] = []

    def put(self, faults: Sequence[Fault]) -> None:
        """Takes the place of all that were set before."""
        self._faults, self._met = faults, [0] * len(faults)

    def told(self) -> list[dict[str, object]]:
        """What is set, and how often it was met."""
        return [msgspec.to_builtins(fault) | {"met": met} for fault, met in zip(self._faults, self._met, strict=True)]

    def meet(self, address: str) -> Fault | None:
        """The fault that a request to this address meets, which counts; what was set goes before the prefix."""
        for place, fault in enumerate(self._faults):
            if fault.meets(address) and (fault.times is None or self._met[place] < fault.times):
                self._met[place] += 1
                return fault
        return _BY_PREFIX.get(address.partition("-")[0])
