"""What was raised, as one line for a person: `open_at.py:3: KeyError: 'opens'`."""

import itertools

from .output import encodable

# Frames of the script that are named besides the innermost.
_FRAMES = 4

# Of a row's fields, as many are named.
_NAMES = 20

_MEMORY = "the node's memory is used up; its setting memory: says how much there is"


class Fault(Exception):
    """A finished message of this runtime."""


def describe(error, file_name):
    """The message of `error`, whatever it is. Never raises."""
    try:
        return encodable(_described(error, file_name))
    except BaseException:
        # Its __str__ raised in turn, or there is no memory left for words.
        return f"{file_name}: raised an exception that cannot be shown"


def _described(error, file_name):
    if isinstance(error, Fault):
        return str(error)
    if isinstance(error, SyntaxError) and error.filename == file_name:
        place = file_name if error.lineno is None else f"{file_name}:{error.lineno}"
        # Which says nothing by itself.
        quoted = f": {error.text.strip()}" if error.msg == "invalid syntax" and error.text else ""
        return f"{place}: {type(error).__name__}: {error.msg}{quoted}"
    frames = _frames(error.__traceback__, file_name)
    said = _MEMORY if isinstance(error, MemoryError) and not str(error) else str(error)
    message = type(error).__name__ + (f": {said}" if said else "")
    if not frames:
        return f"{file_name}: {message}"
    (line, name), *callers = _without_repeats(reversed(frames))
    if len(frames) == 1:
        return f"{file_name}:{line}: {message}"
    shown = [f"called from {file_name}:{line} in {name}" for line, name in callers[:_FRAMES]]
    if len(frames) > 1 + len(shown):
        shown.append(f"{len(frames)} calls in all")
    return f"{file_name}:{line}: {message} ({', '.join([f'in {name}', *shown])})"


def fields_of(error, row, args):
    """` (the row has id, name)`, if `error` is one that a field the row lacks may be the reason of. Never raises."""
    try:
        if isinstance(error, AttributeError) and type(error.obj) is dict:
            return f": rows and args are dicts, so write [{error.name!r}]"
        if not isinstance(error, KeyError) or not error.args:
            return ""
        (key, *_), whose = error.args, "the row"
        if type(row) is list and row:
            row, whose = row[0], "the first row"
        if type(row) is not dict or key in row:
            return ""
        said = f"{whose} has {_names(row)}"
        return encodable(f" ({said}, args have {_names(args)})" if args else f" ({said})")
    except BaseException:
        return ""


def _names(members):
    names = list(members)
    return ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "") if names else "no fields"


def _without_repeats(frames):
    return [frame for frame, _ in itertools.groupby(frames)]


def _frames(traceback, file_name):
    """Line and function of the script's own frames, the innermost last."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == file_name:
            frames.append((traceback.tb_lineno, code.co_qualname))
        traceback = traceback.tb_next
    return frames
