"""What would make a node answer differently the second time is an error that says so.

The host refuses clocks and randomness to every guest, but by ending the instance. Here the same is an exception, which has
a line, harms one row and costs nothing.

A node with `every` has a clock: the host shows the time of the tick. Its randomness begins anew with each row, from the tick and
the row, so that equal questions have equal answers.
"""

import datetime
import functools
import gc
import os
import random
import time

from wit_world.imports import clock

_PURE = "a node's answer must depend on its row and args alone"
# What is said to a function, and to a file's own statements: what a module keeps must not depend on when it was loaded.
_CLOCK = (
    f"{_PURE}; declare every: to read the clock",
    "there is no clock while the file is loaded: read it inside of the function, and declare every:",
)
_RANDOMNESS = (
    f"{_PURE}; use random.Random(seed), or declare every: for randomness",
    "there is no randomness while the file is loaded: use random.Random(seed), or ask for it inside of the function and declare every:",
)

_CLOCKS = """
    time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time thread_time_ns
    clock_gettime clock_gettime_ns
""".split()

# Functions of `time` that read the clock if this argument is missing, by its place.
_CLOCKS_BY_DEFAULT = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}

_seeded = False
_seed = None
_question = None


def _no_tick():
    return None


# While the component is built there is no host that could be asked.
_tick = _no_tick


def enforce():
    """Replaces what reads the clock or randomness. At the end of the build, which itself may need them."""
    for name in _CLOCKS:
        if hasattr(time, name):
            setattr(time, name, _with_clock(f"time.{name}()", getattr(time, name)))
    time.sleep = _refused("time.sleep()", "nodes answer at once")
    for name, place in _CLOCKS_BY_DEFAULT.items():
        setattr(time, name, _refused_without(name, place))
    _enforce_dates()
    _enforce_randomness()


def begin():
    """Before a script runs."""
    global _tick
    random.seed = _seed
    _tick = clock.now


def ask(*question):
    """A row begins."""
    global _question
    _question = question


def forget_seed():
    """A row ends: the next one must not go on with its random numbers."""
    global _seeded
    _seeded = False


def is_loading():
    """Whether no row was asked yet."""
    return _question is None


def _impure(what, remedies):
    error = RuntimeError(f"{what}: {remedies[is_loading()]}")
    error.sangre_what = what
    return error


def _refused(what, remedy):
    def refused(*_, **__):
        raise RuntimeError(f"{what}: {remedy}")

    return refused


def _with_clock(what, function):
    @functools.wraps(function)
    def wrapped(*args, **named):
        if _tick() is None:
            raise _impure(what, _CLOCK)
        return function(*args, **named)

    return wrapped


def _refused_without(name, place):
    function = getattr(time, name)

    @functools.wraps(function)
    def wrapped(*args):
        lacks = len(args) <= place or args[place] is None and name != "strftime"
        if lacks and _tick() is None:
            raise _impure(f"time.{name}() without a time", _CLOCK)
        return function(*args)

    return wrapped


def _enforce_dates():
    """`datetime` and `date` are types of C that cannot be assigned to, so the dictionaries beneath them are changed."""
    for type, names in ((datetime.datetime, ("now", "utcnow", "today")), (datetime.date, ("today",))):
        (members,) = gc.get_referents(type.__dict__)
        for name in names:
            # `datetime` has some of `date`, which comes after it.
            method = next(base.__dict__[name] for base in type.__mro__ if name in base.__dict__)
            members[name] = classmethod(_class_method_with_clock(name, method))
    for clock in (datetime.datetime.now, datetime.datetime.utcnow, datetime.datetime.today, datetime.date.today):
        try:
            clock()
        except RuntimeError:
            continue
        raise AssertionError(f"{clock} still reads the clock")


def _class_method_with_clock(name, method):
    def wrapped(type, *args, **named):
        if _tick() is None:
            raise _impure(f"{type.__name__}.{name}()", _CLOCK)
        return method.__get__(None, type)(*args, **named)

    return wrapped


def _seed_of_row(what):
    """Equal questions in one tick have equal answers."""
    tick = _tick()
    if tick is None:
        raise _impure(what, _RANDOMNESS)
    return f"{tick} {_question!r}"


def _enforce_randomness():
    global _seed
    seed = random.Random.seed

    def seed_by_value(self, a=None, version=2):
        if a is None:
            a = _seed_of_row(f"{type(self).__name__} without a seed")
        seed(self, a, version)

    random.Random.seed = seed_by_value
    shared = random._inst
    random.seed = shared.seed
    for name in random.__all__:
        function = getattr(random, name)
        if getattr(function, "__self__", None) is shared and name != "getstate":
            setattr(random, name, _seeds(function) if name in ("seed", "setstate") else _needs_seed(function))
    # What componentize-py has put around the interpreter calls `random.seed()` when an instance begins.
    _seed, random.seed = random.seed, lambda: None


    def urandom(size):
        if not _seeded:
            _begin_randomness("os.urandom()")
        return shared.randbytes(size)

    os.urandom = random._urandom = urandom


def _begin_randomness(what):
    global _seeded
    random._inst.seed(_seed_of_row(what))
    _seeded = True


def _seeds(function):
    @functools.wraps(function)
    def wrapped(*args, **named):
        global _seeded
        function(*args, **named)
        _seeded = True

    return wrapped


def _needs_seed(function):
    @functools.wraps(function)
    def wrapped(*args, **named):
        if not _seeded:
            _begin_randomness(f"random.{function.__name__}()")
        return function(*args, **named)

    return wrapped
