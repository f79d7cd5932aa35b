"""The part of the standard library that scripts may import.

There are no files where a node runs, so a module can be imported only if it was when the component was built. Scripts may
name just the listed ones: others are there because these need them, and may be gone in the next version of Python.
"""

import builtins
import gc
import importlib
import importlib.resources
import io
import os
import sys
import zoneinfo

LISTED = frozenset(
    """
    __future__ abc array base64 binascii bisect calendar cmath collections contextlib copy csv dataclasses datetime decimal
    difflib enum fractions functools graphlib hashlib heapq hmac html io ipaddress itertools json keyword logging math
    numbers operator pprint random re reprlib statistics string struct sys textwrap time traceback types typing unicodedata
    urllib uuid warnings weakref zlib zoneinfo
    """.split()
)

# Parts of packages that are not imported with them, and what the listed modules import only once they are used.
_PARTS = """
    collections.abc html.entities html.parser string.templatelib urllib.parse
    _strptime _pydatetime _pydecimal _pylong annotationlib inspect linecache tokenize
""".split()

_ENCODINGS = """
    ascii base64_codec charmap cp1250 cp1251 cp1252 cp437 hex_codec idna iso8859_1 iso8859_15 iso8859_2 latin_1 mac_roman
    punycode raw_unicode_escape rot_13 unicode_escape utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_7 utf_8
    utf_8_sig
""".split()

# The way out of one file.
_COMPONENT = "make a component: `sangre node build FILE`, then `component: FILE.wasm` instead of `script:` in sangre.yaml"

_import = builtins.__import__


def preload():
    """Imports all that scripts can use."""
    for name in [*sorted(LISTED), *_PARTS, *(f"encodings.{name}" for name in _ENCODINGS)]:
        importlib.import_module(name)
    _preload_zones()


def _preload_zones():
    """Keeps every time zone's rules, as there are no files to read them from later."""
    package = importlib.resources.files("tzdata")
    root = package.joinpath("zoneinfo")
    names = package.joinpath("zones").read_text().split()
    rules = {name: root.joinpath(*name.split("/")).read_bytes() for name in names}

    def load_tzdata(key):
        if key not in rules:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key}")
        return io.BytesIO(rules[key])

    zoneinfo._common.load_tzdata = load_tzdata
    zoneinfo.reset_tzpath(to=())
    zoneinfo.available_timezones = lambda: set(rules)


def close():
    """From here on nothing is imported but what is there."""
    sys.meta_path[:] = [_Refusal]
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
    os.environ.clear()
    # What is here now lives as long as the instance: the collector need not look at it again.
    gc.collect()
    gc.freeze()


def script_builtins():
    """The builtins a script sees."""
    return {**builtins.__dict__, "__import__": _guarded_import, "open": _open}


def _guarded_import(name, globals=None, locals=None, fromlist=(), level=0):
    if type(fromlist) is list:
        # Not a statement of the script: a builtin it called imports what it needs.
        return _import(name, globals, locals, fromlist, level)
    if level > 0:
        raise ImportError(f"relative imports are not supported in Python scripts yet: put everything in one file, or {_COMPONENT}")
    if name.partition(".")[0] not in LISTED:
        raise _missing(name)
    return _import(name, globals, locals, fromlist, 0)


def _open(file, *_, **__):
    raise PermissionError(f"open({file!r}): a node has no files; its answer must depend on its row and args alone")


def _missing(name):
    return ModuleNotFoundError(
        f"there is no module {name} here: a script is one file and imports a part of the standard library; for the rest of it, packages "
        f"and modules beside the file {_COMPONENT}"
    )


class _Refusal:
    """Finds no module, and says why."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise _missing(name)
