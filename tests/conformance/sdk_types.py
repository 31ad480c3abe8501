"""Guard A: check what is passed to the SDK against the types that the installed SDK declares.

Every call of a service goes through `StripeService._request`; the calling method's annotation names the TypedDict of
its `params`. Types like `Literal["a", "b"] | str` count as closed: a value that the SDK does not know is an error.
"""

import ast
import collections.abc
import contextlib
import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

import pytest
from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from stripe._stripe_service import StripeService
from typing_extensions import is_typeddict

OPTIONS = set(RequestOptions.__annotations__)


class TypesViolated(AssertionError):
    """Raised for a call that the SDK's own types do not allow."""


@contextlib.contextmanager
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Check every call of the SDK's services inside the block. Yields the list of the methods called so far."""
    called: list[str] = []
    request = StripeService._request

    @functools.wraps(request)
    def checked(self: StripeService, method: str, url: str, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_code.co_name
        name = f"{type(self).__name__}.{caller}"
        declared = params_type(type(self), caller)
        if declared is not None and params is not None:
            check(params, declared, name)
        called.append(name)
        return request(self, method, url, params, *args, **kwargs)

    monkeypatch.setattr(StripeService, "_request", checked)
    yield called


@functools.cache
def params_type(service: type, method: str) -> Any:
    """Return the TypedDict of a method's `params`, or None if it has none.

    The SDK imports it for type checkers only.
    """
    function = inspect.unwrap(getattr(service, method))
    annotation = function.__annotations__.get("params")
    if annotation is None:
        return None
    options = [annotation] if isinstance(annotation, str) else get_args(annotation)  # "X", or Optional["X"]
    wanted = next(getattr(option, "__forward_arg__", option) for option in options if option is not type(None))
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[service.__module__]))):
        if isinstance(node, ast.ImportFrom) and wanted in [alias.name for alias in node.names]:
            return getattr(importlib.import_module(node.module), wanted)
    return getattr(sys.modules[service.__module__], wanted)


def check(value: Any, declared: Any, path: str) -> None:
    """Raise TypesViolated unless the value is of the type."""
    if is_typeddict(declared):
        return _check_fields(value, declared, path)
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (NotRequired, Required, typing.Annotated):
        return check(value, arguments[0], path)
    if origin in (Union, types.UnionType):
        return _check_union(value, arguments, path)
    if origin is Literal:
        return _insist(value in arguments, f"{path}: {value!r} is not one of {arguments}")
    if origin in (list, collections.abc.Sequence):
        _insist(isinstance(value, list), f"{path}: {value!r} is not a list")
        for index, item in enumerate(value):
            check(item, arguments[0], f"{path}[{index}]")
        return None
    if origin in (dict, collections.abc.Mapping):
        _insist(isinstance(value, dict), f"{path}: {value!r} is not a dict")
        for name, item in value.items():
            check(name, arguments[0], path)
            check(item, arguments[1], f"{path}.{name}")
        return None
    if declared is Any:
        return None
    expected = type(None) if declared is None else declared
    exact = type(value) is expected if expected in (int, bool, str) else isinstance(value, expected)
    return _insist(exact, f"{path}: {value!r} is not {expected.__name__}")


def _check_fields(value: Any, declared: Any, path: str) -> None:
    _insist(isinstance(value, dict), f"{path}: {value!r} is not a dict")
    hints = _hints(declared)
    for name in value:
        _insist(name in hints and name not in OPTIONS, f"{path}: the SDK knows no {name!r}")
    for name, hint in hints.items():
        if name in value:
            check(value[name], hint, f"{path}.{name}")
        else:
            _insist(get_origin(hint) is NotRequired, f"{path}: {name!r} is missing")


@functools.cache
def _hints(declared: Any) -> dict[str, Any]:
    here = vars(sys.modules[declared.__module__])
    # Every params type inherits options, whose annotations name types of another module.
    return typing.get_type_hints(declared, here, {**vars(typing), "StripeContext": object}, include_extras=True)


def _check_union(value: Any, arguments: tuple[Any, ...], path: str) -> None:
    options = [option for option in arguments if get_origin(option) is not UntypedStripeObject]
    if any(get_origin(option) is Literal for option in options):
        options = [option for option in options if option is not str]
    errors = []
    for option in options:
        try:
            check(value, option, path)
        except TypesViolated as error:
            errors.append(str(error))
        else:
            return
    raise TypesViolated("; ".join(errors))


def _insist(holds: bool, message: str) -> None:
    if not holds:
        raise TypesViolated(message)
