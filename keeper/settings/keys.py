"""What the keys are, read off the classes: for messages, for secrets, and for the test of ``config/README.md``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from keeper.settings.model import Settings

ANY_NAME = "*"
"""Stands for a name the operator chose, as in ``chains.*.chain_id``."""


class Key(NamedTuple):
    """One key: its path (names chosen by the operator as ``*``), unit, example, description and default."""

    path: tuple[str, ...]
    unit: str
    example: str
    description: str
    default: object
    required: bool
    secret: bool


@cache
def every_key() -> tuple[Key, ...]:
    """Return every key of the configuration in the order of the file."""
    return tuple(_keys_of(Settings, ()))


def key_at(path: Sequence[str]) -> Key | None:
    """Return the key at a path, ``None`` for a section or an unknown key."""
    return next((key for key in every_key() if len(key.path) == len(path) and _begins(key.path, path)), None)


def names_at(path: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the keys and sections directly below a path, in the order of the file."""
    below = (key.path[len(path)] for key in every_key() if len(key.path) > len(path) and _begins(key.path, path))
    return tuple(dict.fromkeys(below))


def nearest(wrong: str, known: Sequence[str], otherwise: str) -> str:
    """Say which of the known names was probably meant, or what there is to choose from."""
    close = difflib.get_close_matches(wrong, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"{otherwise}: {', '.join(known) or 'none'}"


def _begins(pattern: Sequence[str], path: Sequence[str]) -> bool:
    return all(part in (ANY_NAME, name) for part, name in zip(pattern, path, strict=False))


def _keys_of(model: type[BaseModel], prefix: tuple[str, ...]) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        section, named = _section_of(field.annotation)
        if section is None:
            yield _key_of((*prefix, name), field)
        else:
            yield from _keys_of(section, (*prefix, name, ANY_NAME) if named else (*prefix, name))


def _section_of(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """Return the section class behind a field, and whether the operator names its instances."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    inner = [_section_of(argument)[0] for argument in get_args(annotation)]
    found = next((section for section in inner if section is not None), None)
    return found, get_origin(annotation) is dict


def _key_of(path: tuple[str, ...], field: FieldInfo) -> Key:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Key(
        path=path,
        unit=str(extra["unit"]),
        example=str(extra["example"]),
        description=str(field.description),
        default=None if field.is_required() else field.default,
        required=field.is_required(),
        secret=SecretStr in (field.annotation, *get_args(field.annotation)),
    )
