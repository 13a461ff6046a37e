"""The user's code: files and modules, and the workflows and activities in them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tenuto.cli.faults import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenuto.replay.definition import WorkflowDefinition


@dataclass
class Code:
    """What a module offers to a worker. `own` are the workflows defined in it, as against imported."""

    module: ModuleType
    workflows: list[type[Any]]
    activities: list[Callable[..., Any]]
    own: list[type[Any]]


def split(target: str) -> tuple[str, str | None]:
    """`FILE[:Workflow]` -> the file or module, and the workflow's name."""
    place, colon, name = target.rpartition(":")
    if colon and place and name.replace(".", "").replace("-", "").isidentifier():
        return place, name
    return target, None


def load(place: str) -> Code:
    """Import a file or a module. Raises CommandError if it isn't there or its own code fails."""
    import tenuto.worker  # noqa: F401 - before the user's directory, in which a module may be called like one it needs

    module = _imported(place)
    holders = [module, *_own_modules(module)]
    workflows = _unique(thing for holder in holders for thing in vars(holder).values() if _is_workflow(thing))
    activities = _unique(thing for holder in holders for thing in vars(holder).values() if _is_activity(thing))
    if not workflows and not activities:
        raise CommandError(f"{place} has no workflows (@workflow.defn) and no activities (@activity.defn)")
    own = [cls for cls in workflows if cls.__module__ == module.__name__]
    return Code(module, workflows, activities, own)


def choose(code: Code, place: str, name: str | None) -> WorkflowDefinition:
    """The workflow called `name`, or the only one. Raises CommandError that lists those there are."""
    from tenuto.replay.definition import WorkflowDefinition

    candidates = {definition.name: definition for definition in map(WorkflowDefinition.of, code.own or code.workflows)}
    known = ", ".join(sorted(candidates)) or "none"
    if name is None:
        if len(candidates) == 1:
            return next(iter(candidates.values()))
        if not candidates:
            raise CommandError(f"{place} has activities but no workflow (a class with @workflow.defn)")
        raise CommandError(f"{place} has several workflows: {known}. Name one: {place}:{sorted(candidates)[0]}")
    for definition in map(WorkflowDefinition.of, code.workflows):
        if name in (definition.name, definition.cls.__name__, definition.cls.__qualname__):
            return definition
    raise CommandError(f"{place} has no workflow {name!r}; it has: {known}")


def _imported(place: str) -> ModuleType:
    path = Path(place)
    is_file = place.endswith(".py") or path.is_file()
    if is_file and not path.is_file():
        raise CommandError(f"there is no file {place}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    importlib.invalidate_caches()
    try:
        return _import_file(path.resolve()) if is_file else importlib.import_module(place)
    except ModuleNotFoundError as error:
        if not is_file and error.name and (place == error.name or place.startswith(error.name + ".")):
            raise CommandError(f"there is no file or module {place!r}") from None
        raise _broken(place, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(place, error) from error


def _import_file(path: Path) -> ModuleType:
    """Import the file under the name that its own code would give it, so that what it defines can be pickled."""
    root, name = path.parent, path.stem
    while (root / "__init__.py").exists():
        name, root = f"{root.name}.{name}", root.parent
    name = name.removesuffix(".__init__")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if _file_of(name) == path:
        return importlib.import_module(name)
    # The name belongs to another module, such as one of the standard library, or can't be imported at all.
    name = f"tenuto_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _file_of(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _broken(place: str, error: BaseException) -> CommandError:
    """The user's module raised while it was imported."""
    where = ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}:{error.lineno})"
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
        if frames:
            where = f" ({frames[-1].filename}:{frames[-1].lineno})"
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return CommandError(f"{place} can't be imported: {type(error).__name__}: {what}{where}")


def _own_modules(module: ModuleType) -> list[ModuleType]:
    """Modules of the user's that `module` holds by name, as after `import shop.activities as activities`."""
    found = [value for value in vars(module).values() if isinstance(value, ModuleType)]
    return [other for other in found if other.__name__.partition(".")[0] not in {*sys.stdlib_module_names, "tenuto"}]


def _is_workflow(thing: Any) -> bool:
    from tenuto.replay.definition import DEFINITION

    # A class, or an object that is a workflow itself, as a Sequence is; run methods have a definition, too.
    return not inspect.isroutine(thing) and DEFINITION in getattr(thing, "__dict__", ())


def _is_activity(thing: Any) -> bool:
    from tenuto.activities.definition import DEFINITION

    return callable(thing) and DEFINITION in getattr(thing, "__dict__", ())


def _unique(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())
