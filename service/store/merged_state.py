"""What was learned of two people who turn out to be one."""

from bandits import rhythm, tastes
from service.store.learned_state import personal_in, rhythm_in, tastes_in
from service.store.user_state import State


def merged(kept: State, lost: State) -> State:
    """What is known of both together (the MergeState that store.merge asks for); what cannot be read adds nothing."""
    own = personal_in(kept.personal)
    own.add(personal_in(lost.personal))
    return State(
        tastes.merge(tastes_in(kept.tastes).pack(), tastes_in(lost.tastes).pack()),
        rhythm.merge(rhythm_in(kept.rhythm).pack(), rhythm_in(lost.rhythm).pack()),
        own.pack() if kept.personal or lost.personal else b"",
    )
