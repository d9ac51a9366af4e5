"""Values for property tests: what the wire can carry, and parameters that commands allow."""

from typing import Any

from hypothesis import strategies as st

from tfd.protocol.commands import COMMANDS
from tfd.protocol.messages import MAX_ID, STREAM_BODIES, Kind, Message
from tfd.protocol.schema import (
    Binary,
    Choice,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Number,
    Row,
    Scalar,
    Table,
    Text,
    Type,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
maps = st.dictionaries(st.text(max_size=12), values, max_size=5)
ids = st.integers(1, MAX_ID)
stream_bodies = {
    bytes: st.binary(max_size=100),
    int: st.integers(-5, 1 << 40),
    type(None): st.none(),
    str: st.text(max_size=40),
}
stream_messages = st.sampled_from(sorted(STREAM_BODIES)).flatmap(
    lambda name: st.builds(
        Message, st.just(Kind.STREAM), ids, st.just(name), stream_bodies[STREAM_BODIES[name]]
    )
)
names = st.text(min_size=1, max_size=64) | st.sampled_from(sorted(COMMANDS))
map_messages = st.builds(
    Message, st.sampled_from([Kind.REQUEST, Kind.REPLY, Kind.ERROR, Kind.EVENT]), ids, names, maps
)
messages = map_messages | stream_messages


storable = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
"""Values that a Scalar allows."""


def allowed_by(type_: Type) -> st.SearchStrategy[Any]:
    """Give values that a description allows."""
    match type_:
        case ListOf():
            return st.lists(allowed_by(type_.item), min_size=type_.minimum, max_size=type_.minimum + 3)
        case MapOf():
            return st.dictionaries(allowed_by(type_.key), allowed_by(type_.value), max_size=3)
        case Row():
            return st.tuples(*(allowed_by(cell) for _, cell in type_.cells)).map(list)
        case Table():
            return parameters_of(type_)
    return _allowed_scalars(type_)


def parameters_of(table: Table) -> st.SearchStrategy[dict[str, Any]]:
    """Give maps that a table allows, with and without what is not required."""
    required = {each.name: allowed_by(each.type) for each in table.parameters if each.required}
    optional = {each.name: allowed_by(each.type) for each in table.parameters if not each.required}
    return st.fixed_dictionaries(required, optional=optional)


def _allowed_scalars(type_: Type) -> st.SearchStrategy[Any]:
    match type_:
        case Text():
            return _texts(type_)
        case Binary():
            return st.binary(min_size=type_.minimum, max_size=min(type_.maximum, type_.minimum + 40))
        case Integer():
            return st.integers(type_.minimum, type_.maximum)
        case Number():
            return st.floats(type_.minimum, type_.maximum)
        case Flag():
            return st.booleans()
        case Choice():
            return st.sampled_from(type_.words)
        case Scalar():
            return storable
    raise AssertionError(type_)


def _texts(type_: Text) -> st.SearchStrategy[str]:
    alphabet = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    texts: st.SearchStrategy[str]
    if type_.pattern is None:
        texts = st.text(alphabet, min_size=type_.minimum, max_size=min(type_.maximum, 40))
    else:
        texts = st.from_regex(type_.pattern, fullmatch=True, alphabet=st.characters(max_codepoint=126))
    return texts.filter(lambda text: type_.minimum <= len(text) <= type_.maximum and "\0" not in text)
