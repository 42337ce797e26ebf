"""How what holds a secret shows itself in a log, an error or a debugger: without it."""

from typing import Any

import msgspec


def shown_without(told: Any, *hidden: str) -> str:
    """The repr of a struct or a named tuple with *** for these fields, unless they are None."""
    names = told.__struct_fields__ if isinstance(told, msgspec.Struct) else told._fields
    texts = {
        name: "'***'" if name in hidden and getattr(told, name) is not None else repr(getattr(told, name))
        for name in names
    }
    return f"{type(told).__qualname__}({', '.join(f'{name}={text}' for name, text in texts.items())})"
