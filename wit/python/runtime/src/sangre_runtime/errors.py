"""What was raised, as one line for a person: `open_at.py:3: KeyError: 'opens'`."""

import _ast
import itertools
import linecache

from .output import encodable

# Frames of the script that are named besides the innermost.
_FRAMES = 4

# Of a row's fields, as many are named.
_NAMES = 20

# After the fields of a row.
LEAD = ": the query's input: or select: says which"

_MEMORY = "the node's memory is used up; its setting memory: says how much there is"


# In a component: takes an error and its message to what a package has to do with it.
explain = None


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
        quoted = f": {error.text.strip()!r}" if error.msg == "invalid syntax" and error.text else ""
        return f"{place}: {type(error).__name__}: {error.msg}{quoted}"
    frames = _frames(error.__traceback__, file_name)
    said = _MEMORY if isinstance(error, MemoryError) and not str(error) else str(error)
    message = type(error).__name__ + (f": {said}" if said else "")
    if explain is not None and not isinstance(error, MemoryError):
        message = explain(error, message)
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
    """` (the row has id, name)`, if `error` is one that a field the row, or args, lack may be the reason of. Never raises."""
    try:
        if isinstance(error, AttributeError) and type(error.obj) is dict:
            return f": rows and args are dicts, so write [{error.name!r}]"
        if not isinstance(error, KeyError) or not error.args:
            return ""
        asked, name = _asked(error)
        if asked is not None:
            return encodable(f" ({_has(asked, name, row, args)})")
        (key, *_), whose = error.args, "the row"
        if type(row) is list and row:
            row, whose = row[0], "the first row"
        if type(row) is not dict or key in row:
            return ""
        said = f"{whose} has {names_of(row)}{LEAD}"
        return encodable(f" ({said}; args have {names_of(args)})" if args else f" ({said})")
    except BaseException:
        return ""


def _asked(error):
    """The dict that lacks the key of `error`, and its name, where the source says it as plainly as `args["hour"]`."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    places = frame.f_code.co_positions()
    line, last, start, end = next(itertools.islice(places, traceback.tb_lasti // 2, None))
    _, _, lines, _ = linecache.cache.get(frame.f_code.co_filename, (0, None, [], ""))
    if line is None or line != last or line > len(lines):
        return None, None
    try:
        text = lines[line - 1].encode()[start:end].decode()
        asking = compile(text, "asking", "eval", _ast.PyCF_ONLY_AST, dont_inherit=True).body
    except SyntaxError:
        # A statement: it was raised by the script itself.
        return None, None
    if not isinstance(asking, _ast.Subscript) or not isinstance(asking.value, _ast.Name):
        return None, None
    name = asking.value.id
    asked = frame.f_locals.get(name, frame.f_globals.get(name))
    return (asked, name) if type(asked) is dict and error.args[0] not in asked else (None, None)


def _has(asked, name, row, args):
    if asked is args:
        return f"args have {names_of(args)}"
    return f"the row has {names_of(row)}{LEAD}" if asked is row else f"{name} has {names_of(asked)}"


def names_of(members):
    """The names of a row's fields, or of args, as many as people read."""
    names = [str(name) for name in members]
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
