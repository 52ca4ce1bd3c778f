"""A workflow as a Python class: methods are steps, an argument is an input or another step's output.

```python
class ShipOrder(Workflow, version="1.2.0", when=[on.kafka("orders")]):
    @step(retry=Retry(attempts=5), timeout=10)
    async def charge(self, order_id: str, total: float) -> Charge: ...

    @charge.compensate
    async def refund(self, charge: Charge) -> None: ...

    @step
    async def ship(self, charge: Charge) -> Parcel: ...     # waits for charge
```

Nothing is checked here: registering tells everything that is wrong at once. Source: the language page, section 8.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from .annotations import signature_of
from .python_keys import FunctionKeys, HandlerKeys, NamedWorkflowKeys
from .python_nodes import FunctionNode, Node, place_of_caller

P = ParamSpec("P")
R = TypeVar("R")
P2 = ParamSpec("P2")
R2 = TypeVar("R2")


class Workflow:
    """Base of workflow classes; the class keywords are the keys of a workflow, and `name`.

    Steps and keywords are inherited (but for `name`). A fresh instance serves each call of a step: `self` keeps
    nothing; what a later step needs is returned.
    """

    __workflow_keys__: ClassVar[Mapping[str, Any]] = {}
    __workflow_place__: ClassVar[tuple[str, int]] = ("", 0)

    def __init_subclass__(cls, **keys: Unpack[NamedWorkflowKeys]) -> None:
        super().__init_subclass__()
        inherited = {key: value for key, value in cls.__workflow_keys__.items() if key != "name"}
        cls.__workflow_keys__ = {**inherited, **keys}
        cls.__workflow_place__ = place_of_caller()


def free(function: Callable[..., Any], owner: type[Any]) -> Callable[..., Any]:
    """A method without its `self`: each call makes an instance of its own."""
    if inspect.iscoroutinefunction(function):

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await function(owner(), *args, **kwargs)

        made: Callable[..., Any] = awaited
    elif inspect.isasyncgenfunction(function):

        async def streamed(*args: Any, **kwargs: Any) -> Any:
            async for item in function(owner(), *args, **kwargs):
                yield item

        made = streamed
    else:

        def plain(*args: Any, **kwargs: Any) -> Any:
            return function(owner(), *args, **kwargs)

        made = plain
    functools.update_wrapper(made, function)
    signature = signature_of(function)
    cast("Any", made).__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return made


class Method(FunctionNode, Generic[P, R]):
    """A method that a run calls. Of an instance it is the bound method, of the class a function without `self`."""

    __slots__ = ()

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> Callable[P, R]: ...
    def __get__(self, instance: object | None, owner: type[Any], /) -> Callable[P, R]:
        """Make `await ShipOrder().charge(…)` and `await ShipOrder.charge(…)` work, in tests and in other steps."""
        if self.method:
            return free(self.target, owner) if instance is None else self.target.__get__(instance, owner)
        return self.target


class StepMethod(Method[P, R]):
    """A method of a workflow class that is a step."""

    __slots__ = ("handler",)

    def __init__(self, target: Any, keys: Mapping[str, Any], place: tuple[str, int], *, method: bool) -> None:
        super().__init__(target, keys, place, method=method)
        self.handler: Method[..., Any] | None = None

    @overload
    def compensate(self, function: Callable[Concatenate[Any, P2], R2], /) -> Method[P2, R2]: ...
    @overload
    def compensate(
        self, function: None = None, /, **keys: Unpack[HandlerKeys]
    ) -> Callable[[Callable[Concatenate[Any, P2], R2]], Method[P2, R2]]: ...
    def compensate(self, function: Any = None, /, **keys: Any) -> Any:
        """Say how the step is undone: `@charge.compensate`, or `@charge.compensate(when="both", retry=Retry())`.

        An argument called like the step is its output, `error` the error, any other as in a step.
        """

        def attach(method: Any) -> Method[..., Any]:
            target, is_method = _unwrapped(method)
            self.handler = Method(target, keys, _place_of(target), method=is_method)
            return self.handler

        return attach if function is None else attach(function)


class StepDecorator(Node):
    """`step(…)` with keys, before it is applied to a function."""

    __slots__ = ()

    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> StepMethod[P, R]:
        """The step."""
        return _step_of(function, self.keys, (self.file, self.line))


@overload
def step(function: Callable[Concatenate[Any, P], R], /) -> StepMethod[P, R]: ...
@overload
def step(function: None = None, /, **keys: Unpack[FunctionKeys]) -> StepDecorator: ...
def step(function: Any = None, /, **keys: Any) -> Any:
    """Make a method a step: `@step`, or with keys `@step(retry=Retry(attempts=5), timeout=10)`.

    A `Step` class, or a function from elsewhere, becomes a step as an attribute: `check = step(timeout=5)(CheckOrder)`.
    """
    decorator = StepDecorator(keys, place_of_caller())
    return decorator if function is None else decorator(function)


def _step_of(function: Any, keys: Mapping[str, Any], place: tuple[str, int]) -> StepMethod[..., Any]:
    target, is_method = _unwrapped(function)
    return StepMethod(target, keys, _place_of(target) if is_method else place, method=is_method)


def _unwrapped(function: Any) -> tuple[Any, bool]:
    """What is called, and whether it takes `self`: it does if it was written inside a class."""
    if isinstance(function, staticmethod):
        return cast("staticmethod[..., Any]", function).__func__, False
    around = getattr(function, "__qualname__", "").rpartition(".")[0]
    return function, inspect.isfunction(function) and around != "" and not around.endswith("<locals>")


def _place_of(target: Any) -> tuple[str, int]:
    code = getattr(inspect.unwrap(target) if callable(target) else target, "__code__", None)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)


def members(cls: type[Workflow]) -> dict[str, Node]:
    """The steps of a class by their attribute, inherited ones first; methods that undo are not among them."""
    found: dict[str, Node] = {}
    for each in reversed(cls.__mro__):
        for name, value in vars(each).items():
            if isinstance(value, Node) and (isinstance(value, StepMethod) or not isinstance(value, Method)):
                found[name] = value
            else:
                found.pop(name, None)
    return found
