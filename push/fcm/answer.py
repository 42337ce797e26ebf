"""The JSON that FCM answers with: a message name, or an error whose details say more than its status."""

from typing import Final

import msgspec

ANSWER_BYTES_MAX: Final = 65_536
"""Of FCM's answers and of those to who asks for a token; theirs have less than two thousand."""

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_ADDRESS_FIELDS = frozenset({"message.token", "message.fid"})


class Violation(msgspec.Struct, frozen=True):
    """One field that FCM refuses."""

    field: str = ""
    description: str = ""


class Detail(msgspec.Struct, frozen=True, rename={"kind": "@type", "violations": "fieldViolations"}):
    """One entry of `error.details`; its kind says which of the other fields matter."""

    kind: str = ""
    errorCode: str = ""  # noqa: N815  as FCM spells it
    violations: tuple[Violation, ...] = ()


class Error(msgspec.Struct, frozen=True):
    """A google.rpc.Status."""

    message: str = ""
    status: str = ""
    details: tuple[Detail, ...] = ()

    @property
    def fcm_code(self) -> str:
        """FCM's own code, empty when the error comes from the layers before it."""
        return next((detail.errorCode for detail in self.details if detail.kind == _FCM_ERROR), "")

    @property
    def is_about_address(self) -> bool:
        """For INVALID_ARGUMENT: FCM itself refuses, and names no field but the address."""
        fields = {
            violation.field for detail in self.details if detail.kind == _BAD_REQUEST for violation in detail.violations
        }
        return bool(fields or self.fcm_code) and fields <= _ADDRESS_FIELDS


class Answer(msgspec.Struct, frozen=True):
    """The body of any answer."""

    name: str = ""
    error: Error = Error()


_decode = msgspec.json.Decoder(Answer).decode


def read_answer(body: bytes) -> Answer:
    """Read a body; an empty answer for what is not FCM's JSON, such as the HTML page of a gateway."""
    try:
        return _decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return Answer()
