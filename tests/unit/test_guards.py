import uuid

import pytest
from litestar import Litestar, get
from litestar.exceptions import ImproperlyConfiguredException
from msgspec.structs import replace

from schema.access import IdentityMode, KeyKind
from service.errors import ApiError
from service.guards import Principal, acting_user, refuse_open_routes, speaker_of
from service.store.people import PersonKey


def principal(kind: KeyKind, mode: IdentityMode, token_user: str | None = None) -> Principal:
    return Principal(uuid.UUID(int=1), kind, frozenset({"ingest"} if kind == "sk" else ()), token_user, mode)


ANN, BOB, DEVICE = PersonKey(0, "ann"), PersonKey(0, "bob"), PersonKey(1, "device")


@pytest.mark.parametrize("mode", ["disabled", "optional", "required"])
def test_a_secret_key_acts_for_anyone(mode: IdentityMode) -> None:
    assert acting_user(principal("sk", mode), "ann", None) == ANN
    assert acting_user(principal("sk", mode), "ann", "device") == ANN
    assert acting_user(principal("sk", mode), None, "device") == DEVICE


def test_a_secret_keys_events_of_a_person_share_one_speaker() -> None:
    till = principal("sk", "required")
    told = [speaker_of(till, name, None) for name in ("ann", "bob", "ann")]
    assert told[0] is told[2]
    assert [(one.key, one.is_bounded) for one in told] == [(ANN, False), (BOB, False), (ANN, False)]


@pytest.mark.parametrize(
    ("mode", "token_user", "user_id", "anonymous_id", "person"),
    [
        ("required", "ann", "ann", None, ANN),
        ("required", "ann", "bob", None, None),
        ("required", None, "ann", None, None),
        ("required", None, "ann", "device", None),
        ("required", None, None, "device", DEVICE),
        ("required", "ann", None, "device", DEVICE),
        ("required", "ann", None, None, ANN),
        ("optional", None, "bob", None, BOB),
        ("optional", "ann", "ann", None, ANN),
        ("optional", "ann", "bob", None, ANN),
        ("optional", "ann", None, "device", ANN),
        ("optional", None, None, "device", DEVICE),
        ("disabled", None, "bob", None, BOB),
        ("disabled", None, None, "device", DEVICE),
    ],
)
def test_a_publishable_key_acts_as_far_as_the_mode_lets_it(
    mode: IdentityMode, token_user: str | None, user_id: str | None, anonymous_id: str | None, person: PersonKey | None
) -> None:
    caller = principal("pk", mode, token_user)
    if person is not None:
        assert acting_user(caller, user_id, anonymous_id) == person
        return
    with pytest.raises(ApiError) as caught:
        acting_user(caller, user_id, anonymous_id)
    assert (caught.value.status, caught.value.code) == (403, "forbidden")


@pytest.mark.parametrize(
    ("kind", "mode", "token_user", "strangers", "known"),
    [
        ("pk", "required", None, True, False),
        ("pk", "required", "bob", True, False),
        ("pk", "required", "ann", True, True),
        ("pk", "optional", None, True, True),
        ("pk", "disabled", None, True, True),
        ("sk", "required", None, True, True),
    ],
)
def test_an_anonymous_id_goes_for_strangers_and_for_whom_the_token_names(
    kind: KeyKind, mode: IdentityMode, token_user: str | None, strangers: bool, known: bool
) -> None:
    speaker = speaker_of(principal(kind, mode, token_user), None, "device")
    assert (speaker.key, speaker.speaks_for(None), speaker.speaks_for("ann")) == (DEVICE, strangers, known)


def test_nobody_named_is_a_mistake_of_the_body() -> None:
    with pytest.raises(ApiError) as caught:
        acting_user(principal("sk", "required"), None, None)
    assert (caught.value.status, caught.value.errors[0].pointer) == (400, "/user_id")


def test_admin_implies_every_scope_and_a_publishable_key_has_none() -> None:
    admin = replace(principal("sk", "required"), scopes=frozenset({"admin"}))
    assert admin.may("ingest")
    assert admin.may("reports")
    assert not principal("sk", "required").may("reports")
    assert not replace(principal("pk", "required"), scopes=frozenset({"admin"})).may("ingest")


@pytest.mark.parametrize("opt", [{}, {"scope": "anyone"}, {"scope": None}, {"scope": "sdk", "sk_scope": "public"}])
def test_a_route_that_does_not_say_who_may_call_it_is_refused(opt: dict[str, str | None]) -> None:
    @get("/open", opt=opt)
    async def open_to_all() -> None: ...

    with pytest.raises(ImproperlyConfiguredException, match="/open"):
        refuse_open_routes(Litestar([open_to_all], openapi_config=None))
