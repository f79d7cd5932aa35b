"""What of Python is a JSON value, and its text.

`json.dumps` turns a key that is a number into text, writes NaN, and a named tuple as an array; here all that is an error.
Only values of the exact plain types are given to the encoder, so nothing a class overrides changes what is written.
"""

import datetime
import decimal
import fractions
import types
import uuid
from enum import Enum
from json.encoder import c_make_encoder, encode_basestring

from .errors import Fault
from .exact import Exact

_DEPTH = 100

# Of the way to what is wrong, as many are told.
_STEPS = 8

_SCALARS = frozenset((str, int, float, bool, type(None)))
_INFINITY = float("inf")

_ADVICE = (
    (types.CoroutineType, "a node cannot be async"),
    (types.AsyncGeneratorType, "a node cannot be async"),
    ((types.GeneratorType, range, map, filter, zip), "use list(...)"),
    ((set, frozenset), "use sorted(...)"),
    ((bytes, bytearray, memoryview), "use .decode() or base64"),
    ((datetime.date, datetime.time), "use .isoformat()"),
    (datetime.timedelta, "use .total_seconds()"),
    ((decimal.Decimal, fractions.Fraction), "use str(...) or float(...)"),
    (uuid.UUID, "use str(...)"),
    (Enum, "use .value"),
    (types.FunctionType, "call it"),
    ((type({}.keys()), type({}.values()), type({}.items())), "use list(...)"),
)


def _unknown(value):
    raise TypeError(f"a {type(value).__name__} was not checked")


class _Written(str):
    """JSON text."""


def _encode_text(text):
    return text if type(text) is _Written else encode_basestring(text)


def _encoder(encode_text):
    return c_make_encoder(None, _unknown, encode_text, None, ":", ",", False, False, False)


_encode = _encoder(encode_basestring)

# Far slower, for it calls back for each text.
_encode_written = _encoder(_encode_text)


def json_text(value, name):
    """The JSON text of `value`, which the function called `name` answered. Raises a Fault if it is not JSON all the way down."""
    kind = type(value)
    if kind is str:
        text = encode_basestring(value)
    elif kind is int:
        return int.__repr__(value)
    elif value is None:
        return "null"
    else:
        encode = _encode
        if not _is_plain(value, _DEPTH):
            value = _checked(value, name)
            encode = _encode_written if Exact.exist else _encode
        try:
            text = "".join(encode(value, 0))
        except ValueError:
            # A number JSON lacks; this says where.
            _checked(value, name)
            raise
    if not text.isascii():
        _check_text(text, name)
    return text


def noun(value):
    """`value` in few words."""
    if value is None or value is True or value is False:
        return str(value)
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _is_plain(value, depth):
    """Whether `value` has nothing but the exact types of JSON, as nearly all values have."""
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                return False
            if type(item) not in _SCALARS and not (depth and _is_plain(item, depth - 1)):
                return False
        return True
    if type(value) is list:
        for item in value:
            if type(item) not in _SCALARS and not (depth and _is_plain(item, depth - 1)):
                return False
        return True
    return type(value) in _SCALARS


def _check_text(text, name):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Fault(f"{name} answered a text with half a character (a lone surrogate): JSON has no such text") from None


def _checked(value, name):
    try:
        return _plain(value, 0)
    except _NotJson as fault:
        steps = [f"[{step!r}]" for step in reversed(fault.steps)]
        place = "".join(steps[:_STEPS]) + ("..." if len(steps) > _STEPS else "")
        where = f"{noun(value)} in which {place} is " if place else ""
        raise Fault(f"{name} answered {where}{fault.what}") from None


class _NotJson(Exception):
    def __init__(self, what):
        self.what = what
        # The innermost first.
        self.steps = []


def _plain(value, depth):
    """`value` made of plain types alone; subclasses of these stand for what they hold."""
    if depth > _DEPTH:
        raise _NotJson(f"nested deeper than {_DEPTH} levels, or contains itself")
    if value is None or value is True or value is False:
        return value
    if type(value) is Exact:
        return _Written(value.text)
    if isinstance(value, Enum) and not isinstance(value, (str, int, float)):
        raise _not_json(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        number = float.__pos__(value)
        if number != number or number in (_INFINITY, -_INFINITY):
            raise _NotJson(f"{number}: JSON has no such number")
        return number
    if isinstance(value, dict):
        return {_key(key): _within(key, item, depth) for key, item in dict.items(value)}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_within(index, item, depth) for index, item in enumerate(value)]
    raise _not_json(value)


def _key(key):
    if isinstance(key, str):
        return str.__str__(key)
    raise _NotJson(f"a dict with {noun(key)} for a key: JSON's keys are texts, use str(...)")


def _within(step, item, depth):
    if type(item) is str or type(item) is int:
        return item
    try:
        return _plain(item, depth + 1)
    except _NotJson as fault:
        fault.steps.append(step)
        raise


def _not_json(value):
    if isinstance(value, types.CoroutineType):
        # Or it complains later that nobody awaited it.
        value.close()
    if hasattr(value, "_fields") and isinstance(value, tuple):
        advice = "use ._asdict()"
    elif hasattr(value, "__dataclass_fields__"):
        advice = "use dataclasses.asdict(...)"
    else:
        advice = next((advice for types, advice in _ADVICE if isinstance(value, types)), "JSON has no such value")
    return _NotJson(f"{noun(value)}: {advice}")
