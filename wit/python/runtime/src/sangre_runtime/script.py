"""One node: its source, and its answers to batches.

Everything here runs in the same interpreter as the node's code, so nothing a node does is trusted: whatever it returns is
checked before it is written as JSON.
"""

import _ast
import functools
import inspect
import json
import linecache
import sys
import types
from opcode import opmap

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import Answers, Failure, Kind

from . import exact, library, output, purity, watch
from .answers import json_text, noun
from .errors import Fault, describe, fields_of

_KINDS = {"keep": Kind.FILTER, "transform": Kind.MAP, "reduce": Kind.REDUCE}

# The module's name while it runs. Not that of its file, which may be one of the standard library's.
_MODULE = "node"

# Calls of Python in one another. An engine of WebAssembly has a stack of its own, which ends in a trap that Python does not see
# coming: with calls through builtins it fits some 450.
_CALLS = 400

_RETURN, _CONSTANT = opmap["RETURN_VALUE"], opmap["LOAD_CONST"]

_parse = json.JSONDecoder().decode


class Script:
    """The exports of the interface `script`."""

    def load(self, files, expected):
        global _node
        source, file_name = files[0].text, files[0].name
        # Integers of any length are exact.
        sys.set_int_max_str_digits(0)
        _limit_calls(_CALLS)
        sys.setrecursionlimit = _set_calls
        purity.begin()
        try:
            _node = _choose(_run(source, file_name), file_name)
            _check_return(source, file_name, _node)
            return _node.kind
        except BaseException as error:
            raise Err(describe(error, file_name)) from None
        finally:
            purity.forget_seed()
            output.end_of_call()

    def evaluate(self, batch):
        try:
            return _node.answer(batch)
        except BaseException as error:
            # Not the fault of one row as far as is known here: the server finds whose it is.
            log.fail(describe(error, _node.file_name))
            raise
        finally:
            output.end_of_call()


class _Node:
    """What a source defines."""

    def __init__(self, name, call, file_name):
        # As messages call it, with its place.
        self.title = f"{_place_of(call, file_name)}: {name}"
        self.name = name
        self.kind = _KINDS[name]
        self.call = call
        self.file_name = file_name

    def answer(self, batch):
        texts, failures = [], []
        ask = self._keep if self.kind is Kind.FILTER else self._make
        for group in read(batch):
            args = _Args(group["args"])
            for row in group["rows"]:
                purity.ask(row, group["args"])
                given = args.copy()
                if "watch" in group:
                    watch.ask(self.call, _copied(row), args.copy(), self.file_name)
                    purity.forget_seed()
                    purity.ask(row, group["args"])
                    output.mute(True)
                try:
                    texts.append(ask(row, given))
                except BaseException as error:
                    message = describe(error, self.file_name) + fields_of(error, row, given)
                    failures.append(Failure(len(texts), message))
                    texts.append("null")
                if "watch" in group:
                    output.mute(False)
                purity.forget_seed()
        return Answers(f"[{','.join(texts)}]", failures)

    def _keep(self, row, args):
        value = self.call(row, args)
        if value is True:
            return "true"
        if value is False:
            return "false"
        if value is None:
            raise Fault(f"{self.title} answered None: missing return?")
        if isinstance(value, types.CoroutineType):
            value.close()
            raise Fault(f"{self.title} answered a coroutine: a node cannot be async")
        raise Fault(f"{self.title} answered {noun(value)}: it has to be True or False, as bool(...) is")

    def _make(self, row, args):
        return json_text(self.call(row, args), self.title)


_node = None


def read(batch):
    """A batch's groups. Integers are exact whatever their length; numbers with a fraction are floats, which keep what they cannot hold."""
    groups = _parse(batch)
    for group in groups:
        if "inexact_args" in group:
            exact.keep(group["args"], group["inexact_args"])
        if "inexact" in group:
            exact.keep(group["rows"], group["inexact"])
    return groups


class _Args:
    """The args of a group. Each row has its own copy, or one could change them for the next."""

    def __init__(self, args):
        self._args = args
        flat = all(type(value) not in (dict, list) for value in args.values())
        self.copy = args.copy if flat else functools.partial(_copied, args)


def _copied(value):
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


_limit_calls = sys.setrecursionlimit


def _set_calls(limit):
    """What a script has for `sys.setrecursionlimit`."""
    if limit > _CALLS:
        raise ValueError(f"setrecursionlimit({limit}): a node's stack fits {_CALLS} calls")
    _limit_calls(limit)


def _run(source, file_name):
    """Runs the source as a module and gives what it defines."""
    code = compile(source, file_name, "exec", dont_inherit=True)
    module = types.ModuleType(_MODULE)
    module.__dict__.update(__file__=file_name, __builtins__=library.script_builtins())
    sys.modules[_MODULE] = module
    remember(source, file_name)
    exec(code, module.__dict__)
    return module.__dict__


def remember(source, file_name):
    """Keeps the lines for what an error says, and for tracebacks a script prints itself."""
    linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)


def _choose(members, file_name):
    # functools.reduce is often imported by that very name.
    named = [name for name in _KINDS if name in members and members[name] is not functools.reduce]
    if len(named) > 1:
        raise Fault(f"{file_name} defines {' and '.join(named)}: a node is one of them")
    if not named:
        functions = [name for name, value in members.items() if type(value) is types.FunctionType and not name.startswith("_")]
        instead = f", but {', '.join(functions[:3])}{', ...' if len(functions) > 3 else ''}" if functions else ""
        raise Fault(
            f"{file_name} defines no node{instead}: write def keep(row, args), transform(row, args) or reduce(rows, args)"
        )
    (name,) = named
    value = members[name]
    if not callable(value):
        raise Fault(f"{file_name}: {name} is {noun(value)}, not a function")
    _check_parameters(name, value, file_name)
    return _Node(name, value, file_name)


def _check_parameters(name, function, file_name):
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Of some callables nobody knows.
        return
    try:
        signature.bind(None, None)
    except TypeError:
        wanted = "rows, args" if name == "reduce" else "row, args"
        raise Fault(f"{_place_of(function, file_name)}: {name}{signature} cannot be called: a node's function is {name}({wanted})") from None


def _place_of(function, file_name):
    """Where the function is written, as far as that is known."""
    code = getattr(function, "__code__", None)
    return file_name if code is None or code.co_filename != file_name else f"{file_name}:{code.co_firstlineno}"


def _check_return(source, file_name, node):
    """A function that answers None whatever it is asked has lost its return."""
    code = getattr(node.call, "__code__", None)
    if code is None or code.co_filename != file_name or code.co_name != node.name or _returns_a_value(code):
        return
    # It may be meant: `return None`, or nothing but errors.
    statements = compile(source, file_name, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True).body
    for function in statements:
        if isinstance(function, _ast.FunctionDef) and function.lineno == code.co_firstlineno and not _answers(function.body):
            raise Fault(f"{file_name}:{function.lineno}: {node.name} has no return: it would answer None to every row")


def _returns_a_value(code):
    """Whether some return is certainly not that of None. Far cheaper than to read the source."""
    ops, none = code.co_code, code.co_consts.index(None) if None in code.co_consts else -1
    returns = (at for at in range(2, len(ops), 2) if ops[at] == _RETURN)
    return any((ops[at - 2], ops[at - 1]) != (_CONSTANT, none) for at in returns)


def _answers(statements):
    """Whether a function of these may do anything but answer None."""
    trees = list(statements)
    while trees:
        tree = trees.pop()
        if isinstance(tree, (_ast.Raise, _ast.Yield, _ast.YieldFrom)) or isinstance(tree, _ast.Return) and tree.value is not None:
            return True
        if not isinstance(tree, _ANOTHER):
            for field in tree._fields:
                value = getattr(tree, field, None)
                trees += [part for part in (value if type(value) is list else [value]) if isinstance(part, _ast.AST)]
    return False


# What has returns of its own.
_ANOTHER = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef, _ast.Lambda)
