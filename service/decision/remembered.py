"""What is made of a catalogue and a snapshot and costs something: those used last are as a rule those of the next decision."""

from collections.abc import Callable
from typing import Generic, TypeVar

from bandits.policies.model import Model
from service.store.catalogue import Catalogue

T = TypeVar("T")


class Remembered(Generic[T]):
    """Makes something of a catalogue and a model, and again only for others."""

    def __init__(self, make: Callable[[Catalogue, Model], T]) -> None:
        self._make = make
        self._found: tuple[Catalogue, Model, T] | None = None

    def of(self, catalogue: Catalogue, model: Model) -> T:
        """What was made of these two, which are known by where they lie."""
        found = self._found
        if found is None or found[0] is not catalogue or found[1] is not model:
            found = self._found = (catalogue, model, self._make(catalogue, model))
        return found[2]
