"""Whose doing an error is, in a component: that of a package which reads the clock, or of what would reach the network."""

import sys

_NETWORK = frozenset("aiohttp http.client httpcore httpx requests socket ssl urllib.request urllib3 websockets".split())
_NO_NETWORK = "a node reaches no network: fetch before, and store it in a table"

# What a component has besides the author's modules, the standard library and packages.
_OURS = ("sangre_", "componentize_py", "wit_world")


def explain(error, message, folder, is_loading):
    """The `message` of an error with what a package has to do with it. `folder` has the author's own modules."""
    modules = list(_modules(error.__traceback__))
    package = next(filter(None, (_package(*module, folder) for module in modules)), None)
    reaches = any(name in _NETWORK or name.partition(".")[0] in _NETWORK for name, _, _ in modules)
    if package is None:
        return f"{message}: {_NO_NETWORK}" if reaches else message
    name, place = package
    # What the clock or randomness was asked for by, if that is the error.
    what = getattr(error, "sangre_what", None)
    does = f"calls {what}" if what else "fails"
    said = f"the package {name} {does}{' while it is loaded' if is_loading else ''} ({place})"
    if reaches:
        return f"{said}: {_NO_NETWORK}" if what else f"{said}: {message}: {_NO_NETWORK}"
    if is_loading:
        return f"{said}, which no node may do: take a package that does not" if what else f"{said}: {message}"
    return f"{message} ({said})" if what else message


def _modules(traceback):
    """Name, file and line of each module that the error passed through, the innermost first."""
    frames = []
    while traceback is not None:
        frame = traceback.tb_frame
        frames.append((frame.f_globals.get("__name__", ""), frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return reversed(frames)


def _package(name, file, line, folder):
    """The package that the module `name` is of, and the place in it; None if it is of none."""
    top = name.partition(".")[0]
    is_own = not file.startswith("/") or file.startswith(f"{folder}/")
    if is_own or top in sys.stdlib_module_names or top.startswith(_OURS):
        return None
    begin = max(file.rfind(f"/{top}/"), file.rfind(f"/{top}."))
    return top, f"{file[begin + 1 :]}:{line}"
