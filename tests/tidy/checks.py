"""What a module of ours must look like. Each check takes one module and yields what is wrong: `path:line: sentence`."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from reactor.tests.tidy.tree import Module

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
# The files that one event passes through: whoever wants to understand Reactor reads these.
READING_ORDER = {
    "core/event.py": 400,
    "router/intake.py": 400,
    "store/contract.py": 400,
    "engine/run.py": 400,
    "engine/executor.py": 400,
    "triggers/supervisor.py": 400,
    "app.py": 250,
}
BANNED_WORDS = ("util", "utils", "common", "manager", "managers", "helper", "helpers", "misc")
CLOCKS = {"time", "random", "uuid", "secrets"}
ALLOWED_FROM = {
    "time": {"perf_counter", "perf_counter_ns"},
    "random": set[str](),
    "uuid": {"UUID", "uuid5", "NAMESPACE_URL"},
    "secrets": {"compare_digest"},
}
NOW = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("os", "urandom")}
SKIPS = {
    "pytest.skip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
    "pytest.importorskip",
    "pytest.xfail",
}
SUSPECT = re.compile(r"#.*(TO[D]O|FIX[M]E|XX[X]|noqa|ignore)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def length(module: Module) -> Iterator[str]:
    """A module fits in a head; the seven that are read first are shorter still."""
    lines = module.text.count("\n")
    allowed = READING_ORDER.get(module.path, MODULE_LINES_MAX)
    if lines > allowed:
        yield f"{module.path}: {lines} lines, at most {allowed}"


def functions(module: Module) -> Iterator[str]:
    """A function fits on a screen."""
    for node in module.nodes:
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{module.path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def documented_methods(modules: list[Module]) -> frozenset[str]:
    """Names of methods that some class of the package explains: whoever implements a contract need not repeat it."""
    found: set[str] = set()
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                found.update(each.name for each in node.body if isinstance(each, Function) and ast.get_docstring(each))
    return frozenset(found)


def docstrings(module: Module, explained: frozenset[str] = frozenset()) -> Iterator[str]:
    """What is public says what it is."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path}:1: the module has no docstring"
    yield from _undocumented(module, module.tree.body, "", explained)


def _undocumented(module: Module, body: list[ast.stmt], owner: str, explained: frozenset[str]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _undocumented(module, [*node.body, *node.orelse], owner, explained)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _needs_none(node, owner, explained):
            yield f"{module.path}:{node.lineno}: {owner}{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(module, node.body, f"{node.name}.", explained)


def _needs_none(node: Function | ast.ClassDef, owner: str, explained: frozenset[str]) -> bool:
    decorators = {ast.unparse(each).split("(")[0].rsplit(".", 1)[-1] for each in node.decorator_list}
    if decorators & {"overload", "setter", "override"}:
        return True
    if owner and isinstance(node, ast.ClassDef):
        return node.name in {"Config", "Meta"}
    return bool(owner) and (node.name in explained or node.name.startswith("test_"))  # a test's name is its sentence


def names(module: Module) -> Iterator[str]:
    """No module and no class is called after nothing in particular."""
    for part in module.parts:
        if part.lower() in BANNED_WORDS:
            yield f"{module.path}: `{part}` says nothing: name it after what it does"
    for node in module.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            words = re.findall(r"[A-Z]?[a-z]+", node.name)
            for word in words[-1:] if isinstance(node, ast.ClassDef) else words:
                if word.lower() in BANNED_WORDS:
                    yield f"{module.path}:{node.lineno}: `{node.name}` says nothing: name it after what it does"


def chance(module: Module) -> Iterator[str]:
    """Time, ids and chance come in through core alone; measuring with `perf_counter` is free."""
    if module.part == "core":
        return
    bound = {each.name for node in module.nodes if isinstance(node, ast.Import) for each in node.names} & CLOCKS
    for node in module.nodes:
        for line, what in _taken(node, bound):
            yield f"{module.path}:{line}: {what} comes in through core (clock, ids)"


def _taken(node: ast.AST, bound: set[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.ImportFrom) and not node.level and node.module in CLOCKS:
        for each in node.names:
            if each.name not in ALLOWED_FROM[node.module]:
                yield node.lineno, f"{node.module}.{each.name}"
    elif isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
        owner = ast.unparse(node.value)
        if (owner in bound and node.attr not in ALLOWED_FROM[owner]) or (owner.rsplit(".", 1)[-1], node.attr) in NOW:
            yield node.lineno, f"{owner}.{node.attr}"
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.sleep" and ast.unparse(node.args[0]) != "0":
        yield node.lineno, "asyncio.sleep"


def promises(module: Module) -> Iterator[str]:
    """Nothing is left for later, and nothing is passed over in silence."""
    for line, comment in _comments(module.text):
        word = re.search(r"\b(TO[D]O|FIX[M]E|XX[X])\b", comment)
        if word:
            yield f"{module.path}:{line}: {word.group()}: do it, or say in the docs what is missing"
        silenced = re.search(r"#\s*(noqa|type: ignore|pyright: ignore)(?::\s*[\w, ]+?|\[[\w, -]+\])?\s*$", comment)
        if silenced:
            yield f"{module.path}:{line}: `{silenced.group(1)}` without a rule and the reason beside it"
    for node in module.nodes:
        yield from (f"{module.path}:{line}: {what}" for line, what in _hollow(node, module))


def _comments(text: str) -> Iterator[tuple[int, str]]:
    if not SUSPECT.search(text):
        return  # tokenizing is slow
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _hollow(node: ast.AST, module: Module) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant) and node.test.value:
        yield node.lineno, "this assertion cannot fail"
    elif isinstance(node, ast.ExceptHandler):
        catches_all = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
        if catches_all and len(node.body) == 1 and ast.unparse(node.body[0]) in {"pass", "..."}:
            yield node.lineno, "every error is swallowed here"
    elif isinstance(node, ast.Raise) and node.exc is not None and "NotImplemented" + "Error" in ast.unparse(node.exc):
        yield node.lineno, "a stub: refuse it with `unavailable`, or do it"
    elif isinstance(node, ast.Attribute) and node.attr.startswith(("skip", "xfail", "importorskip")):
        name = ast.unparse(node)
        if name in SKIPS:
            yield node.lineno, "a test that is skipped proves nothing"
