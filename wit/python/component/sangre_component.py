"""What makes a component of a node's module: batches in, answers out.

The module runs once, while the component is built. It may import what it likes then, and it is as pure as a script: the clock
and randomness are refused to its own statements too, or every instance would have those of the build.
"""

import sys
import types

import sangre_packages
from sangre_runtime import errors, library, output, purity, script
from sangre_runtime.errors import describe

_PACKAGE = "sangre_node"


def load(source, file_name, folder):
    """Runs the author's module and gives the function that answers batches."""
    library.preload()
    purity.enforce()
    # `from .helper import x` finds what is in the same folder.
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [folder]
    sys.modules[_PACKAGE] = package
    module = types.ModuleType(f"{_PACKAGE}.node")
    module.__dict__.update(__file__=file_name, __package__=_PACKAGE)
    sys.modules[module.__name__] = module
    script.remember(source, file_name)
    errors.explain = lambda error, message: sangre_packages.explain(error, message, folder, purity.is_loading())
    try:
        exec(compile(source, file_name, "exec", dont_inherit=True), module.__dict__)
        script._node = script._choose(module.__dict__, file_name)
        script._check_return(source, file_name, script._node)
    except BaseException as error:
        # The build's last words: `build.py` finds them among those of the tools.
        raise SystemExit(f"sangre: {describe(error, file_name)}") from None
    output.redirect()
    library.close()
    sys.meta_path[:] = [_Refusal]
    node = script.Script()

    def answer(batch):
        purity.begin()
        return node.evaluate(batch)

    return answer


class _Refusal:
    """Finds no module, and says why."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        raise ModuleNotFoundError(f"there is no module {name} here: import it at the top of the file, when the component is built")
