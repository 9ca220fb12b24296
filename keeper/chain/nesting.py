"""How deep JSON is nested, found out before it is decoded.

A decoder calls itself for every list and object within another. What stops it is the interpreter's recursion limit,
and where some library has raised that, nothing but the end of the stack: a page of brackets would kill the process.
"""

from __future__ import annotations

_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))


def check_nesting(body: bytes, levels_max: int) -> None:
    """Refuse text that is nested too deep. Takes a few passes of the text, none of them in Python.

    Each round removes the innermost level, and the one around it where a list is in an object. What passes is nested
    at most twice ``levels_max`` deep, and what is nested at most ``levels_max`` deep passes.

    Raises:
        ValueError: lists and objects are nested in each other too deep, or do not end.
    """
    escaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    outside_of_texts = escaped.translate(None, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"").split(b'"')[::2]
    brackets = b"".join(outside_of_texts)
    for _ in range(levels_max):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise ValueError(f"nested more than {levels_max} deep, or without end")
