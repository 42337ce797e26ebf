"""A snapshot: a frozen posterior with a version, as it is stored and sent to every process that decides."""

from typing import Final, Literal

import msgspec

from schema.base import Kept

HEADS: Final = ("open", "redeem")
"""What a person may do with an offer; each has a posterior of its own. Their order is that of every array with a heads axis."""

Link = Literal["identity", "logit"]
"""How a linear predictor becomes the mean of a reward."""


class HeadSnapshot(Kept, frozen=True, array_like=True):
    """The posterior of one head; arrays are little-endian float32, the covariance a packed upper triangle."""

    mean: bytes
    covariance: bytes
    dispersion: float  # noise variance of the identity link; scatter of the logit in units of p(1 - p)
    arrived: list[float]  # share of the rewards that have come by the end of each age bucket
    exposures: float  # decayed, matured
    mode: bytes = b""  # the weights at which the epoch's sums are linearised


class Snapshot(Kept, frozen=True, array_like=True):
    """Everything a decision reads that was learned: posterior, popularity of tags, rhythm of the population."""

    version: int
    published_at_s: float
    feature_set: int
    heads: list[HeadSnapshot]
    tag_shares: bytes  # (tags,) float32: share of baskets with the tag
    hour_shares: bytes  # (168,) float32: share of visits by local hour of the week
    baskets: float
    offsets: list[int]  # (64,) how far each partition of the event log had been counted
    link: Link = "identity"
    epoch: int = 0
    recent_shares: bytes = b""  # (tags,) float32: as tag_shares, of the last weeks; empty: not counted
    personal_variances: list[float] = []  # prior variance of each block of the personal layer
    taste_map: int = 0  # version of the map of tastes; 0: none


ENCODER: Final = msgspec.msgpack.Encoder()
DECODER: Final = msgspec.msgpack.Decoder(Snapshot)
