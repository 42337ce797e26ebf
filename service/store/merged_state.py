"""What was learned of two people who turn out to be one."""

from bandits import rhythm, tastes
from service.store.learned_state import rhythm_in, tastes_in


def merged(kept_tastes: bytes, kept_rhythm: bytes, lost_tastes: bytes, lost_rhythm: bytes) -> tuple[bytes, bytes]:
    """Packed tastes and rhythm of both together (the MergeState that store.merge asks for); what cannot be read adds nothing."""
    liked = tastes.merge(tastes_in(kept_tastes).pack(), tastes_in(lost_tastes).pack())
    return liked, rhythm.merge(rhythm_in(kept_rhythm).pack(), rhythm_in(lost_rhythm).pack())
