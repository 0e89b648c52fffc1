"""A network of the user's own: the function that a study names, with the text of the modules that it lies in.

The text is read once, when the study is, and belongs to it from then on: it travels to every node, is recorded with the
search, and a replay builds the network from it, whatever has become of the file.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from search.study.errors import StudyError, show

if TYPE_CHECKING:
    from torch import nn

    from pruning_core.config import TrialConfig

FORM = "FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION"
OURS = ("pruning_core", "search")
LARGEST = 2**20
Sources = Mapping[str, str]
"""Text of modules by their path, relative to one folder."""


@dataclass(frozen=True)
class OwnNetwork:
    """(config, features, classes) -> a new network, made by a function of the user's.

    The function takes the number of inputs, the number of classes and the arguments of the configuration by name; one
    with a parameter `keep` also gets n.

    Args:
        reference: `FILE.py:FUNCTION` or `PACKAGE.MODULE:FUNCTION`.
        sources: what `read_sources` read for it.
    """

    reference: str
    sources: Sources

    def __call__(self, config: "TrialConfig", features: int, classes: int) -> "nn.Module":
        arguments = dict(config.arguments)
        if config.keep is not None and self.takes("keep"):
            arguments["keep"] = config.keep
        network: nn.Module = self.function(features, classes, **arguments)
        return network

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself.

        Raises:
            StudyError: its module cannot be executed, or has no such function.
        """
        return _function(self.reference, tuple(self.sources.items()))

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        parameters = inspect.signature(self.function).parameters
        return name in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the function's arguments."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def check_arguments(self, names: Mapping[str, str]) -> None:
        """Refuses arguments that the function does not take.

        Args:
            names: the key of the study file that gives each argument.

        Raises:
            StudyError: it does not take one.
        """
        for name, key in names.items():
            if not self.takes(name):
                known = ", ".join(list(inspect.signature(self.function).parameters)[2:]) or "none"
                raise StudyError(f"{key} is not an argument of network.build = {self.reference}: it takes {known}")

    def has_changed(self) -> bool:
        """Whether the files now hold another text; not where they are not there."""
        try:
            return read_sources(self.reference) != self.sources
        except StudyError:
            return False


def absolute(reference: str, folder: Path) -> str:
    """The same function from anywhere: a relative path counts from a folder."""
    file, colon, function = reference.rpartition(":")
    return f"{(folder / file).resolve()}:{function}" if colon and file.endswith(".py") else reference


def read_sources(reference: str) -> dict[str, str]:
    """The text of the module in which a function lies, and of the modules beside it that it imports.

    For a file these lie in its folder, for a module in its package. What is installed with deepPP is not among them.

    Raises:
        StudyError: there is no such file or module, or it is no Python.
    """
    file, colon, function = reference.rpartition(":")
    if not (colon and file and function.isidentifier()):
        raise StudyError(f"network.build = {show(reference)} must have the form {FORM}")
    if file.endswith(".py"):
        path = Path(file)
        root, within = path.parent, None
    else:
        within = file.partition(".")[0]
        if within in OURS:
            return {}
        root, path = _find(file, reference)
    texts: dict[str, str] = {}
    _collect(path, root, within, texts, reference)
    if sum(map(len, texts.values())) > LARGEST:
        raise StudyError(f"network.build = {reference} must lie in modules of less than {LARGEST} letters together")
    return texts


def _find(module: str, reference: str) -> tuple[Path, Path]:
    """The folder of the outermost package of a module, and the module's file."""
    parts = module.split(".")
    for place in dict.fromkeys(["", *sys.path]):
        if found := _file(Path(place).absolute(), parts):
            return Path(place).absolute(), found
    raise StudyError(f"network.build = {reference}: there is no module {module} that Python finds")


def _file(root: Path, parts: list[str]) -> Path | None:
    base = root.joinpath(*parts)
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _collect(path: Path, root: Path, within: str | None, texts: dict[str, str], reference: str) -> None:
    """Adds the text of a file, and of all that it imports from `root`, or from the package `within` there."""
    name = path.relative_to(root).as_posix()
    if name in texts:
        return
    try:
        texts[name] = path.read_text(encoding="utf-8")
        tree = ast.parse(texts[name])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise StudyError(f"network.build = {reference} cannot be read: {reason}") from None
    except SyntaxError as error:
        raise StudyError(
            f"network.build = {reference} is no Python: {error.msg} ({name}, line {error.lineno})"
        ) from None
    package = path.relative_to(root).parent.parts
    for imported in _imported(tree, package):
        for length in range(1, len(imported) + 1):
            if within in (None, imported[0]) and (file := _file(root, imported[:length])):
                _collect(file, root, within, texts, reference)


def _imported(tree: ast.Module, package: tuple[str, ...]) -> Iterator[list[str]]:
    """The modules that a module imports, each as the parts of its name; some may be no modules but names in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = list(package[: len(package) - node.level + 1]) if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            yield from ([*base, alias.name] for alias in node.names)


@lru_cache(maxsize=16)
def _function(reference: str, sources: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
    file, _, function = reference.rpartition(":")
    module = Path(file).stem if file.endswith(".py") else file
    try:
        loaded = _Recorded(dict(sources), file).load(module) if sources else import_module(module)
        found = getattr(loaded, function, None)
    except StudyError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module raises is a fault of the study
        raise StudyError(f"network.build = {reference} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise StudyError(f"network.build = {reference} must name a function, and {module} has no {function}")
    return found


class _Recorded(MetaPathFinder, SourceLoader):  # type: ignore[misc]
    """Imports modules from recorded text instead of files."""

    def __init__(self, sources: Sources, file: str) -> None:
        self.sources = sources
        self.folder = Path(file).parent if file.endswith(".py") else Path()
        self.files = {_module_name(path): path for path in sources}

    def load(self, name: str) -> ModuleType:
        """The module of this name, before any other of its name; what was imported under these names comes back."""
        earlier = {known: sys.modules.pop(known) for known in self.files if known in sys.modules}
        sys.meta_path.insert(0, self)
        try:
            return import_module(name)
        finally:
            sys.meta_path.remove(self)
            sys.meta_path.append(self)
            sys.modules.update(earlier)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname not in self.files:
            return None
        return spec_from_loader(fullname, self, is_package=self.files[fullname].endswith("__init__.py"))

    def get_filename(self, fullname: str) -> str:
        return str(self.folder / self.files[fullname])

    def get_data(self, path: str) -> bytes:
        return self.sources[Path(path).relative_to(self.folder).as_posix()].encode()


def _module_name(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
