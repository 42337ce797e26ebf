"""Who people are, what they have asked for, and what they allow."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
from litestar import Controller, Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from schema.contact_rules import QuietHours
from schema.preferences import Consent, ConsentPatch, Preferences, PreferencesPatch
from schema.user import Acknowledgement, Identify
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.planning import contact_checks
from service.routes import bounds
from service.routes.acting import act_once
from service.routes.caller import check_zone, owner_of, principal_of, speaker_of
from service.store import identify, preferences, tags
from service.store.identify import Profile, Tagging, TooManyTags, TraitsTooLarge
from service.store.merge import MergeState
from service.store.offer_ids import OfferIds
from service.store.preferences import Limit, Wishes

T = TypeVar("T")

_OWN_DATA: Final = {"scope": "sdk", "sk_scope": "users"}


class IdentifyController(Controller):
    """Tells us who somebody is."""

    path = "/v1/identify"
    tags = ("users",)
    opt = _OWN_DATA

    @post(status_code=200)
    async def identify(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Identify],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        merge_state: NamedDependency[SkipValidation[MergeState]],
    ) -> Response[Acknowledgement]:
        """Merges traits key by key. With both ids all that is known of the anonymous one becomes the user's:

        history, devices, thumbs-downs and snoozes united, and of opt-outs, mutes and consent the stricter. On a phone that
        several people share, what comes from then on is the one's who was named last. Where user tokens are required, a
        publishable key may not take over an anonymous_id that is another known user's (403 user_token_required): an app makes
        a new one when somebody logs out. Tags are told by secret keys only (403).
        """
        check_zone(data.time_zone)
        speaker = speaker_of(request, data.user_id, data.anonymous_id)
        profile = Profile(data.time_zone, data.locale, data.birth_date, data.traits, _tagging(request, data))
        now = await clock.now()
        bounds.check_birth_date(data.birth_date, now)

        async def effect(connection: Any) -> Acknowledgement:
            try:
                watermark = await identify.identify(
                    connection, speaker, data.anonymous_id, profile, now, merge_state=merge_state
                )
            except TraitsTooLarge as error:
                raise invalid_field("/traits", str(error)) from None
            except TooManyTags as error:
                raise invalid_field("/add_tags" if data.add_tags else "/tags", str(error)) from None
            return Acknowledgement(applied=True, feedback_applied_through=watermark)

        return await act_once(request, pool, now, effect, status=200)


class UserController(Controller):
    """A person's own controls."""

    path = "/v1/users/{user_id:str}"
    tags = ("users",)
    opt = _OWN_DATA

    @get("/preferences", status_code=200)
    async def preferences(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Preferences:
        """Offers never to be shown, offers not to be shown now, and silence."""
        found = await preferences.read(pool, owner_of(request, user_id), await clock.now())
        return _known(found)

    @patch("/preferences", status_code=200)
    async def change_preferences(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        data: JSONBody[PreferencesPatch],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        offer_ids: NamedDependency[SkipValidation[OfferIds]],
    ) -> Preferences:
        """Adds or undoes vetoes, ends snoozes, mutes until an instant within ten years, sets quiet hours and limits of the person's own;

        counts in the very next decision, and for pushes that are planned.
        """
        key = owner_of(request, user_id)
        now = await clock.now()
        is_mute_named = data.muted_until is not msgspec.UNSET
        wishes = Wishes(
            add_vetoes=await _ids(offer_ids, data.add_vetoes, "/add_vetoes"),
            remove_vetoes=await _ids(offer_ids, data.remove_vetoes, "/remove_vetoes"),
            remove_snoozes=await _ids(offer_ids, data.remove_snoozes, "/remove_snoozes"),
            is_mute_named=is_mute_named,
            muted_until=bounds.mute_of(data.muted_until, now) if data.muted_until is not msgspec.UNSET else None,
            quiet_hours=_quiet_hours(data.quiet_hours),
            per_day=_limit(data.pushes_per_day_max),
            per_week=_limit(data.pushes_per_week_max),
        )
        async with pool.acquire() as connection:
            return await preferences.change(connection, key, wishes, now)

    @get("/consent", status_code=200)
    async def consent(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
    ) -> Consent:
        """What the person allows."""
        return _known(await preferences.read_consent(pool, owner_of(request, user_id)))

    @patch("/consent", status_code=200)
    async def change_consent(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        data: JSONBody[ConsentPatch],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Consent:
        """Gives or withdraws consent; push given anew ends an opt-out. E-mail is sent only to who has given consent to it, at an address of theirs."""
        key = owner_of(request, user_id)
        async with pool.acquire() as connection:
            return await preferences.change_consent(connection, key, data, await clock.now())


def _tagging(request: Request[Any, Any, Any], data: Identify) -> Tagging:
    """The tags told, in their one spelling. Raises ApiError 403 for a publishable key, 400 for one that nobody can have."""
    told = {"/tags": data.tags or (), "/add_tags": data.add_tags, "/remove_tags": data.remove_tags}
    if (data.tags is not None or data.add_tags or data.remove_tags) and principal_of(request).kind == "pk":
        raise ApiError(
            403, "forbidden", "Tags are what the shop calls a person: its server tells them, by a secret key."
        )
    for pointer, given in told.items():
        for place, tag in enumerate(given):
            if not tags.is_fit(tags.normalise(tag)):
                raise invalid_field(
                    f"{pointer}/{place}", "A tag has 1 to 64 characters, no control characters and no ';'."
                )
    replaced, added, removed = ([tags.normalise(tag) for tag in given] for given in told.values())
    return Tagging(None if data.tags is None else replaced, added, removed)


def _quiet_hours(given: list[QuietHours] | msgspec.UnsetType) -> list[QuietHours] | None:
    if given is msgspec.UNSET:
        return None
    errors = list(contact_checks.of_quiet_hours(given, "/quiet_hours"))
    if errors:
        raise ApiError(400, "invalid_field", "Some quiet hours cannot be used; see errors.", errors)
    return given


def _limit(given: int | msgspec.UnsetType | None) -> Limit:
    return Limit(is_named=False, pushes_max=None) if given is msgspec.UNSET else Limit(is_named=True, pushes_max=given)


def _known(found: T | None) -> T:
    if found is None:
        raise ApiError(404, "not_found", "There is no such user.")
    return found


async def _ids(offer_ids: OfferIds, names: Sequence[str], pointer: str) -> list[int]:
    known = await offer_ids.of(names)
    for place, name in enumerate(names):
        if name not in known:
            raise invalid_field(f"{pointer}/{place}", "No offer of this name was ever uploaded.")
    return [known[name] for name in names]
