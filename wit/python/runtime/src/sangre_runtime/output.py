"""`print`, stdout, stderr and `logging` write to the server's log."""

import io
import logging
import sys
import time
import types

from wit_world.imports import log
from wit_world.imports.log import Level

# Characters of one call that are handed on. The server keeps far less, but has to be given it to know.
_BUDGET = 256 << 10
_LINE = 8 << 10

_spent = 0

# Whether nothing is written.
_muted = False


def redirect():
    sys.stdout = sys.__stdout__ = _STDOUT
    sys.stderr = sys.__stderr__ = _STDERR
    # A record notes the time, which nobody here can tell; the server's log has its own.
    logging.time = types.SimpleNamespace(**{**vars(time), "time": lambda: 0.0, "time_ns": lambda: 0})
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False
    logging.root.handlers = [_ToLog()]
    # Which lines are worth keeping is for the server's settings.
    logging.root.setLevel(logging.NOTSET)


def end_of_call():
    """Writes lines that were begun."""
    global _spent
    _STDOUT.flush()
    _STDERR.flush()
    _spent = 0


def mute(is_muted):
    """Whether nothing is written from now on."""
    global _muted
    _STDOUT.flush()
    _STDERR.flush()
    _muted = is_muted


def encodable(text):
    """`text` without the halves of characters, which UTF-8 lacks."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _write(level, text):
    global _spent
    if _muted or _spent >= _BUDGET:
        return
    _spent += len(text) + 1
    if _spent >= _BUDGET:
        log.write(Level.WARN, "the rest of what this call writes is left out")
    else:
        log.write(level, encodable(text[:_LINE]))


class _Lines(io.TextIOBase):
    """Hands on whole lines."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, level):
        self._level = level
        self._begun = ""

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        *lines, begun = (self._begun + text).split("\n")
        self._begun = begun[:_LINE]
        for line in lines:
            _write(self._level, line)
        return len(text)

    def flush(self):
        begun, self._begun = self._begun, ""
        if begun:
            _write(self._level, begun)


class _ToLog(logging.Handler):
    """What `logging` is told."""

    def emit(self, record):
        try:
            text = self.format(record)
            _write(_level(record.levelno), text if record.name == "root" else f"{record.name}: {text}")
        except Exception:
            self.handleError(record)


def _level(number):
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARN
    return Level.INFO if number >= logging.INFO else Level.DEBUG


_STDOUT = _Lines(Level.INFO)
_STDERR = _Lines(Level.WARN)
