"""Dataclasses as the standard library makes them, in a third of the memory.

The daemon has some hundred and thirty of them. `dataclasses` compiles up to eight functions for each, and
imports `inspect` with a parser of Python behind it: more than a tenth of the memory that tfd may have. Here,
what is the same for all is inherited, and `__init__` alone is compiled.

For a type checker these names are those of `dataclasses`. The functions there (`fields`, `is_dataclass`) take
what is made here for their own; the first call imports `dataclasses`. Known are the options `frozen`, `slots`
and `order`, and a field's `default_factory` and `repr`; base classes and `ClassVar` are not.
"""

from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field

__all__ = ["asdict", "dataclass", "defaults", "field", "is_dataclass", "replace"]

_MADE: Final = object()
"""The default, in a signature, of a field whose default is made for each object."""

_NAMES: Final = {"_made": _MADE, "_set": object.__setattr__}
"""What compiled functions see."""


class _Described:
    """What `field` tells of a field."""

    __slots__ = ("factory", "is_shown")

    def __init__(self, factory: "Callable[[], object] | None", *, is_shown: bool) -> None:
        self.factory = factory
        self.is_shown = is_shown


class _Fields:
    """The attribute by which `dataclasses` knows a dataclass, made when it is asked for."""

    def __get__(self, _instance: object, owner: Any) -> "dict[str, Field[Any]]":
        import dataclasses

        given, described = defaults(owner), []
        for name in owner.__match_args__:
            options: dict[str, Any] = {"repr": name not in owner.__hidden__}
            if name in owner.__factories__:
                options["default_factory"] = owner.__factories__[name]
            elif name in given:
                options["default"] = given[name]
            described.append((name, owner.__annotations__[name], dataclasses.field(**options)))
        twin: Any = dataclasses.make_dataclass("Twin", described)
        made: dict[str, Field[Any]] = twin.__dataclass_fields__
        owner.__dataclass_fields__ = made
        return made


def _no_values(_value: object) -> Any:
    """Give what stands for the values of one that has no fields."""
    return ()


class _Dataclass:  # noqa: PLW1641 - what can change has no hash
    """What all dataclasses have. No annotation here: those of a dataclass are its fields."""

    __slots__ = ()

    __hidden__ = frozenset[str]()
    __factories__ = MappingProxyType[str, "Callable[[], object]"]({})
    __values__ = staticmethod(_no_values)
    __dataclass_fields__ = _Fields()

    def __repr__(self) -> str:
        kind: Any = type(self)
        shown = [name for name in kind.__match_args__ if name not in self.__hidden__]
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        values = type(self).__values__
        return bool(values(self) == values(other))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(_asdict(self).values())


class _Frozen(_Dataclass):
    """What those have that do not change."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(type(self).__values__(self))

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        _refuse(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        _refuse(f"cannot delete field {name!r}")


class _Ordered(_Frozen):
    """What those have that are compared field by field."""

    __slots__ = ()

    def __lt__(self, other: object) -> Any:
        values = type(self).__values__
        return values(self) < values(other) if type(other) is type(self) else NotImplemented

    def __le__(self, other: object) -> Any:
        values = type(self).__values__
        return values(self) <= values(other) if type(other) is type(self) else NotImplemented

    def __gt__(self, other: object) -> Any:
        values = type(self).__values__
        return values(self) > values(other) if type(other) is type(self) else NotImplemented

    def __ge__(self, other: object) -> Any:
        values = type(self).__values__
        return values(self) >= values(other) if type(other) is type(self) else NotImplemented


def _refuse(message: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(message)


def is_dataclass(kind: type) -> bool:
    """Tell whether a class is a dataclass, of this kind or the other."""
    return any("__dataclass_fields__" in vars(base) for base in kind.__mro__)


def defaults(kind: Any) -> dict[str, object]:
    """Give the defaults of a dataclass's fields that have one; what is made for each object is not told."""
    given = kind.__init__.__defaults__ or ()
    return dict(zip(kind.__match_args__[len(kind.__match_args__) - len(given) :], given, strict=True))


def _field(*, default_factory: "Callable[[], object] | None" = None, repr: bool = True) -> _Described:  # noqa: A002 - the name is that of dataclasses
    return _Described(default_factory, is_shown=repr)


def _dataclass(*, frozen: bool = False, slots: bool, order: bool = False) -> "Callable[[type], type]":
    """Give what makes a dataclass of a class. Raises TypeError: it is one that is not known here."""
    if not slots or (order and not frozen):
        raise TypeError("without slots, or ordered and not frozen: use dataclasses")
    base = _Ordered if order else _Frozen if frozen else _Dataclass
    return lambda kind: _made(kind, base)


def _made(kind: type, base: type[_Dataclass]) -> type:
    """Make the dataclass: slots take a class of its own, with dataclasses as well."""
    if kind.__bases__ != (object,):
        raise TypeError(f"{kind.__qualname__} has base classes: use dataclasses")
    body = dict(vars(kind))
    names = tuple(body.get("__annotations__", ()))
    given = {name: body.pop(name) for name in names if name in body}
    described = {name: value for name, value in given.items() if isinstance(value, _Described)}
    body.pop("__dict__", None)
    body.pop("__weakref__", None)
    body["__slots__"] = body["__match_args__"] = names
    body["__init__"] = _initializer(kind, names, given, is_frozen=base is not _Dataclass)
    if hidden := frozenset(name for name, one in described.items() if not one.is_shown):
        body["__hidden__"] = hidden
    if factories := {name: one.factory for name, one in described.items() if one.factory is not None}:
        body["__factories__"] = factories
    if names:
        body["__values__"] = attrgetter(*names)
    return type(kind)(kind.__name__, (base,), body)


def _initializer(
    kind: type, names: tuple[str, ...], given: "Mapping[str, object]", *, is_frozen: bool
) -> "Callable[..., None]":
    """Compile __init__, which takes the fields in their order."""
    parameters, defaults, lines = [], [], []
    for name in names:
        default, value = given.get(name, _MADE), name
        if isinstance(default, _Described):
            if default.factory is not None:
                value = f"self.__factories__[{name!r}]() if {name} is _made else {name}"
            has_default, default = default.factory is not None, _MADE
        else:
            has_default = name in given
        if has_default:
            defaults.append(default)
        parameters.append(f"{name}=None" if has_default else name)
        lines.append(f" _set(self, {name!r}, {value})" if is_frozen else f" self.{name} = {value}")
    if hasattr(kind, "__post_init__"):
        lines.append(" self.__post_init__()")
    made: dict[str, Any] = {}
    source = "\n".join([f"def __init__(self, {', '.join(parameters)}):", *lines, " pass"])
    exec(source, _NAMES, made)  # noqa: S102 - of the names of fields alone, which are identifiers
    function = made["__init__"]
    function.__defaults__ = tuple(defaults)
    function.__module__, function.__qualname__ = kind.__module__, f"{kind.__qualname__}.__init__"
    initializer: Callable[..., None] = function
    return initializer


def _asdict(value: Any) -> dict[str, Any]:
    """Give the fields and their values, these as they are."""
    return {name: getattr(value, name) for name in value.__match_args__}


def _replace(value: Any, **changes: Any) -> Any:
    """Give one of the same kind, with other values for these fields."""
    return type(value)(**(_asdict(value) | changes))


if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, replace
else:
    asdict, dataclass, field, replace = _asdict, _dataclass, _field, _replace
