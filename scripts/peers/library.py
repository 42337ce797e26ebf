"""The libraries that are installed, by name; one that is not is left out and told."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Final

from scripts.peers.peer import Maker

NAMES: Final = ("vowpalwabbit", "bayesianbandits", "gittins", "mabwiser", "contextualbandits")


def installed() -> dict[str, ModuleType]:
    """Our module of each library, in the order of NAMES."""
    return {name: import_module(f"scripts.peers.{name}") for name in NAMES if version_of(name)}


def version_of(name: str) -> str:
    """Empty when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def settings(module: ModuleType) -> dict[str, Maker]:
    """What was tried of a library, by name."""
    return dict(module.settings())


def best(module: ModuleType) -> Maker:
    """The best setting found."""
    return settings(module)[module.BEST]
