"""What would make a node answer differently the second time is an error that says so.

The host refuses clocks and randomness to every guest, but by ending the instance. Here the same is an exception, which has
a line, harms one row and costs nothing.
"""

import datetime
import functools
import gc
import os
import random
import time

_PURE = "a node's answer must depend on its row and args alone"
_CLOCK = f"{_PURE}; declare every: to read the clock"
_RANDOMNESS = f"{_PURE}; use random.Random(seed), or declare every: for randomness"

_CLOCKS = """
    time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time thread_time_ns
    clock_gettime clock_gettime_ns sleep
""".split()

# Functions of `time` that read the clock if this argument is missing, by its place.
_CLOCKS_BY_DEFAULT = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}

_seeded = False
_seed = None


def enforce():
    """Replaces what reads the clock or randomness. At the end of the build, which itself may need them."""
    for name in _CLOCKS:
        if hasattr(time, name):
            setattr(time, name, _refused(f"time.{name}()", _CLOCK))
    for name, place in _CLOCKS_BY_DEFAULT.items():
        setattr(time, name, _refused_without(name, place))
    _enforce_dates()
    _enforce_randomness()


def begin():
    """Before a script runs."""
    random.seed = _seed


def forget_seed():
    """A row ends: the next one must not go on with its random numbers."""
    global _seeded
    _seeded = False


def _refused(what, remedy):
    def refused(*_, **__):
        raise RuntimeError(f"{what}: {remedy}")

    return refused


def _refused_without(name, place):
    function = getattr(time, name)

    @functools.wraps(function)
    def wrapped(*args):
        if len(args) <= place or args[place] is None and name != "strftime":
            raise RuntimeError(f"time.{name}() without a time: {_CLOCK}")
        return function(*args)

    return wrapped


def _enforce_dates():
    """`datetime` and `date` are types of C that cannot be assigned to, so the dictionaries beneath them are changed."""
    for type, names in ((datetime.datetime, ("now", "utcnow", "today")), (datetime.date, ("today",))):
        (members,) = gc.get_referents(type.__dict__)
        for name in names:
            members[name] = classmethod(_refused_class_method(name))
    for clock in (datetime.datetime.now, datetime.datetime.utcnow, datetime.datetime.today, datetime.date.today):
        try:
            clock()
        except RuntimeError:
            continue
        raise AssertionError(f"{clock} still reads the clock")


def _refused_class_method(name):
    def refused(type, *_, **__):
        raise RuntimeError(f"{type.__name__}.{name}(): {_CLOCK}")

    return refused


def _enforce_randomness():
    global _seed
    seed = random.Random.seed

    def seed_by_value(self, a=None, version=2):
        if a is None:
            raise RuntimeError(f"{type(self).__name__} without a seed: {_RANDOMNESS}")
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
    os.urandom = random._urandom = _refused("os.urandom()", _RANDOMNESS)


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
            raise RuntimeError(f"random.{function.__name__}(): {_RANDOMNESS}")
        return function(*args, **named)

    return wrapped
