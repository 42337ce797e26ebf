"""What was imported is never looked through again, and a batch is not looked through while it is made."""

import gc

from service import garbage


def test_the_search_begins_anew_when_all_is_imported() -> None:
    before = gc.get_threshold()
    try:
        garbage.begin()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == garbage.YOUNG_MAX
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
