"""Every public name is documented, and so is every public parameter of it and of its public methods."""

import enum
import functools
import inspect
import re
from collections.abc import Iterator

import attnflow

DESCRIPTORS = (staticmethod, classmethod)
PROPERTIES = (property, functools.cached_property)


def public_objects() -> Iterator[tuple[str, object]]:
    """Public classes, functions, and the public methods and properties that a class defines itself."""
    for name in attnflow.__all__:
        value = getattr(attnflow, name)
        if not callable(value):
            continue
        yield name, value
        if inspect.isclass(value):
            for key, member in vars(value).items():
                if not key.startswith("_") and is_documentable(member):
                    yield f"{name}.{key}", member.__func__ if isinstance(member, DESCRIPTORS) else member


def is_documentable(member: object) -> bool:
    return isinstance(member, (*DESCRIPTORS, *PROPERTIES)) or inspect.isroutine(member)


def documentation(value: object) -> str:
    if not inspect.isclass(value):
        return inspect.getdoc(value) or ""
    own = [value.__dict__.get("__doc__"), getattr(value.__dict__.get("__init__"), "__doc__", None)]
    # A dataclass without a docstring is given its own signature as one, which documents nothing.
    return "\n".join(text for text in own if text and not text.startswith(f"{value.__name__}("))


def parameters(value: object) -> list[str]:
    if isinstance(value, PROPERTIES) or (inspect.isclass(value) and issubclass(value, (enum.Enum, Exception))):
        return []
    names = inspect.signature(value).parameters  # type: ignore[arg-type]
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


def test_every_public_name_has_a_docstring():
    bare = [name for name, value in public_objects() if not documentation(value).strip()]
    assert not bare


def test_every_public_parameter_is_mentioned():
    silent = [
        f"{name}: {parameter}"
        for name, value in public_objects()
        for parameter in parameters(value)
        if not re.search(rf"\b{re.escape(parameter)}\b", documentation(value))
    ]
    assert not silent
