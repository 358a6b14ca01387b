"""JSON as its standard has it, from anybody: what is wrong is said in words for the sender."""

import json
import math
from typing import Any, NoReturn

MAX_DIGITS = 4300
"""Of an integer; Python reads no longer ones."""


def read_json(body: bytes) -> Any:
    """The value, if every program after us can read and write it too.

    Raises:
        ValueError: no JSON, not in UTF-8, a key twice in one object, or a value that
            has no text: NaN, an infinite or endless number, half of a character.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_read_finite,
            parse_int=_read_integer,
            object_pairs_hook=_read_object,
        )
        # "\ud800" is legal JSON but no text: nothing downstream could encode it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(_in_plain_words(error)) from error
    return value


def measure_depth(value: object) -> int:
    """How many objects and arrays are inside each other, the value itself counted."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        children = (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        )
        stack.extend((child, depth + 1) for child in children)
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return document


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _read_integer(text: str) -> int:
    digits = len(text.removeprefix("-"))
    if digits > MAX_DIGITS:
        raise ValueError(f"a number of {digits} digits is too long")
    return int(text)


def _in_plain_words(error: ValueError | RecursionError) -> str:
    """Some of Python's own words speak of Python."""
    match error:
        case RecursionError():
            return "it is nested too deep"
        case UnicodeDecodeError():
            return f"it is not encoded in UTF-8, see byte {error.start}"
        case UnicodeEncodeError():
            return "a text holds half of a character (a lone surrogate)"
        case _ if "BOM" in str(error):
            return "it begins with a byte order mark"
        case _:
            return str(error)
