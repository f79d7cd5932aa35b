"""Builds a component of a node in Python: build.py INPUT OUTPUT [KIND]

The module is put on CPython with what it imports: modules of its folder, the standard library, and packages in pure Python, from
the requirements.txt beside it or the environment (.venv, or the active one). On success the kind is printed; what is wrong goes to stderr.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = {"filter": ("FilterRows", "keep"), "map": ("MapRows", "transform"), "reduce": ("ReduceLists", "reduce")}

ENTRY = """
import sys
import sangre_component
FOLDER = next(path for path in sys.path if path and __import__("os").path.exists(path + "/" + {file!r}))
_answer = sangre_component.load({source!r}, {file!r}, FOLDER)


class {interface}:
    def {function}(self, batch):
        return _answer(batch)
"""


def fail(text):
    sys.exit(text)


def names(tree):
    """What the module defines at its outermost level."""
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(module=module, names=imported) if module != "functools":
                yield from (alias.asname or alias.name for alias in imported)


def kind_of(source, file, wanted):
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        fail(f"{file}:{error.lineno}: error: {error.msg}")
    defined = set(names(tree))
    found = [kind for kind, (_, function) in KINDS.items() if function in defined]
    functions = " and ".join(KINDS[kind][1] for kind in found)
    if len(found) > 1:
        fail(f"{file}: error: defines {functions}: a node is one of them")
    if not found:
        functions = [statement.name for statement in tree.body if isinstance(statement, ast.FunctionDef)]
        but = f", but {', '.join(functions[:3])}{', ...' if len(functions) > 3 else ''}" if functions else ""
        fail(f"{file}: error: defines no node{but}: write def keep(row, args), transform(row, args) or reduce(rows, args)")
    if wanted and found != [wanted]:
        fail(f"{file}: error: defines {functions}, so it is a {found[0]}, not a {wanted}")
    return found[0]


def run(*command, **more):
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def packages(folder, workshop):
    """Folders in which the author's packages are."""
    found = []
    requirements = folder / "requirements.txt"
    if requirements.exists():
        target = workshop / "packages"
        # Wheels for any machine: what is compiled for this one does not run in a component.
        pure = ("--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none", "--python-version=3.14")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-compile")
        said = run(sys.executable, "-m", "pip", "install", *quiet, *pure, "--target", target, "-r", requirements, cwd=folder)
        if said.returncode:
            errors = [line for line in said.stdout.splitlines() if "ERROR" in line]
            fail(f"requirements.txt: error: {(errors or ['pip failed'])[-1].removeprefix('ERROR: ')} (packages have to be pure Python)")
        found.append(target)
    environments = [folder / ".venv", *([Path(active)] if (active := os.environ.get("VIRTUAL_ENV")) else [])]
    for environment in environments:
        found += sorted(environment.glob("lib/python3*/site-packages"))
    return found


def reason(said, file):
    """What matters of the tools' words: the author's mistake, else their last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [found[1] for line in lines if (found := re.search(r"sangre: (.*)", line))]
    if not own:
        return f"{file}: error: {(lines or ['componentize-py said nothing'])[-1]}"
    text = re.sub(rf"^{re.escape(file)}(:\d+)?: ", lambda place: f"{file}{place[1] or ''}: error: ", own[-1])
    return text + (": name it in a requirements.txt beside the file" if "No module named" in text else "")


def main(source_file, output, wanted=None):
    source_file, output = Path(source_file).resolve(), Path(output).resolve()
    source, file = source_file.read_text(encoding="utf-8-sig"), source_file.name
    kind = kind_of(source, file, wanted)
    interface, function = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="sangre-python-") as workshop:
        workshop = Path(workshop)
        entry = ENTRY.format(source=source, file=file, interface=interface, function=function)
        (workshop / "sangre_entry.py").write_text(entry, encoding="utf-8")
        folders = [workshop, HERE, HERE / "src", source_file.parent, *packages(source_file.parent, workshop)]
        paths = [part for folder in folders for part in ("-p", folder)]
        tool = "import sys, componentize_py; sys.exit(componentize_py.script())"
        # Or packages of this machine's Python would be taken before the author's.
        environment = {**os.environ, "VIRTUAL_ENV": str(HERE / "venv")}
        options = ("-q", "-d", HERE / "wit", "-w", f"{kind}-node", "componentize", *paths, "sangre_entry", "-o", output)
        said = run(sys.executable, "-c", tool, *options, env=environment, cwd=workshop)
        if said.returncode:
            fail(reason(said.stdout, file))
    print(kind)


main(*sys.argv[1:])
