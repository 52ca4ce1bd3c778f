"""The workflows and functions that a program registered: what a Python step's reference means.

Registered functions are called `workflow:step` (`ship-order:charge`), all others `module:name`. Bodies are not stored:
the newest code runs (semantics 10.5), of several registered versions that of the highest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

from ..core.errors import ConfigError, StepError
from ..language.builder import BuiltWorkflow
from ..language.built_in import BUILT_IN
from ..language.catalogue import Catalogue
from ..language.definition import Loaded, WorkflowDefinition
from ..language.diagnostics import did_you_mean
from ..language.python_form import Workflow
from ..language.python_mapping import coded
from ..language.python_nodes import called
from ..language.versions import version_key
from .actions.functions import is_registered_form, resolve, split_reference


class Functions:
    """The registered workflows of one application, and where all other functions are found.

    `catalogue` is asked at each registration what actions, kinds and named triggers there are; without it the built-in
    ones are known, and nothing of a project.
    """

    def __init__(self, project_root: str | os.PathLike[str], catalogue: Callable[[], Catalogue] | None = None) -> None:
        self._root = os.path.abspath(project_root)
        self._catalogue = catalogue or _built_in
        self._functions: dict[str, Callable[..., Any]] = {}
        self._found: dict[str, Callable[..., Any]] = {}
        self._versions: dict[str, Any] = {}  # reference → the version whose code it is

    def register(self, workflow: Any, catalogue: Catalogue | None = None) -> Loaded:
        """The checked definition of a Workflow class, of what a builder built, or of a definition as it is.

        Raises InvalidDefinition with everything that is wrong, ConfigError for something else.
        """
        if isinstance(workflow, Loaded):
            return workflow
        kind = type(workflow).__name__
        if isinstance(workflow, type) and issubclass(workflow, Workflow):
            made = coded(workflow)
        elif isinstance(workflow, BuiltWorkflow):
            made = workflow.coded
        elif isinstance(workflow, WorkflowDefinition):
            return Loaded(workflow, {})
        else:
            raise ConfigError(
                f"a workflow is a class, what a builder built, or a definition; found a {kind}",
                hint="derive the class from reactor.Workflow, or call `build()`",
            )
        loaded = made.load(self._catalogue() if catalogue is None else catalogue)
        version = version_key(loaded.definition.version)
        for reference, function in made.functions.items():
            if reference not in self._versions or version >= self._versions[reference]:
                self._functions[reference], self._versions[reference] = function, version
        return loaded

    def name_of(self, workflow: Any) -> str:
        """The name of a workflow that is given as its name, class or definition. Raises ConfigError."""
        given = workflow.definition if isinstance(workflow, Loaded) else workflow
        given = cast("Any", given)
        strange = isinstance(given, type) and not issubclass(given, Workflow)
        name = "" if strange else called(given)
        if not name:
            raise ConfigError(
                f"a workflow is given by its name, class or definition; found a {type(workflow).__name__}",
                hint='write `app.start("ship-order", …)` or `app.start(ShipOrder, …)`',
            )
        return name

    def function(self, reference: str) -> Callable[..., Any]:
        """The registered function of this reference, else what `module:name` names.

        Raises StepError `unknown_action`: nobody registered it, or which part is missing, or why an import failed.
        """
        found = self._functions.get(reference) or self._found.get(reference)
        if found is not None:
            return found
        if split_reference(reference) is None and is_registered_form(reference):
            workflow, _, step = reference.partition(":")
            own = [each for each in self._functions if each.startswith(workflow + ":")]
            hint = did_you_mean(reference, own) if own else "register its class before the app opens: app.register(…)"
            missing = f"no step `{step}`" if own else "nothing"
            raise StepError(
                "unknown_action", f"`{reference}`: this program registered {missing} of `{workflow}`", hint=hint
            )
        found = self._found[reference] = resolve(reference, self._root)
        return found


def _built_in() -> Catalogue:
    return BUILT_IN
