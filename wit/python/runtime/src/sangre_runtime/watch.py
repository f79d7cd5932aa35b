"""What a function asks its row and args for by `.get` and they do not have, for a script that is tried: `place.get("opns")` is None, and
a filter that compares with it drops every row without a word. `place["opns"]` is an error by itself.

The top level alone is watched: values inside of jsonb may rightly lack what others have. What is watched is no plain dict, which a
function may notice: so it is asked of copies first, and then what is answered. What it prints the second time it has printed.
"""

import sys
import types

from wit_world.imports import log
from wit_world.imports.log import Level

from .errors import LEAD, names_of
from .output import encodable

# Elements of a list that are watched.
_ELEMENTS = 100

# Names that are told of one instance: beyond that they are no slip but come from data.
_MOST = 20

# Characters of a name that are told.
_SHOWN = 60

_told = set()


def ask(function, row, args, file_name):
    """Asks the function of the script, and tells the log what it asks row and args for in vain. They are nobody else's."""
    if type(row) is list:
        row[:_ELEMENTS] = [_watching(_Row, element, file_name) for element in row[:_ELEMENTS]]
    try:
        answer = function(_watching(_Row, row, file_name), _watching(_Args, args, file_name))
        if type(answer) is types.CoroutineType:
            # Or it complains that nobody awaited it.
            answer.close()
    except BaseException:
        # It says so when it is asked.
        pass


def _watching(kind, value, file_name):
    if type(value) is not dict:
        return value
    watching = kind(value)
    watching.file_name = file_name
    return watching


class _Watching(dict):
    __slots__ = ("file_name",)

    def get(self, *given, **named):
        # A pattern of `match` asks with an object of its own, as does who wants to know.
        if given and type(given[0]) is str and given[0] not in self and type(given[-1]) is not object:
            self.tell(given[0], sys._getframe(1))
        return dict.get(self, *given, **named)

    def tell(self, name, frame):
        key = (self.has, name)
        # One that was made of its class is the script's own; what the standard library asks for is no slip of the script.
        file_name = getattr(self, "file_name", None)
        if key in _told or len(_told) >= _MOST or frame.f_code.co_filename != file_name:
            return
        _told.add(key)
        near = _nearest(name, self)
        hint, lead = (f": did you mean {near}?", "") if near else ("", self.lead)
        text = f'{file_name}:{frame.f_lineno}: {self.has} "{name[:_SHOWN]}"{hint} ({self.they} {names_of(self)}{lead})'
        log.write(Level.WARN, encodable(text))


class _Row(_Watching):
    __slots__ = ()
    __qualname__ = "dict"
    has, they, lead = "the row has no field", "it has", LEAD


class _Args(_Watching):
    __slots__ = ()
    __qualname__ = "dict"
    has, they, lead = "args have no", "they have", ""


def _nearest(name, names):
    """That of `names` which `name` is a slip of: one edit away, of longer names two."""
    best, fewest = None, 3 if len(name) > 4 else 2
    for other in names:
        if 3 <= len(name) <= _SHOWN and len(other) <= _SHOWN:
            edits = _distance(name, other)
            if edits < fewest:
                best, fewest = other, edits
    return best


def _distance(a, b):
    """The edits from `a` to `b`: letters put in, left out, replaced, or two that change places (optimal string alignment)."""
    before, above = [], list(range(len(b) + 1))
    for row, letter in enumerate(a, 1):
        line = [row]
        for column, other in enumerate(b, 1):
            edits = min(above[column] + 1, line[column - 1] + 1, above[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == b[column - 2] and a[row - 2] == other:
                edits = min(edits, before[column - 2] + 1)
            line.append(edits)
        before, above = above, line
    return above[-1]


# In messages of the language.
for _kind in (_Row, _Args):
    _kind.__name__ = "dict"
    _kind.__module__ = "builtins"
