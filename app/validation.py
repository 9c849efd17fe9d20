"""pydantic's errors as named ones that point at the client's own key, and say what would be right.

Which keys there are is read from the JSON schema of what was validated. Knows no web framework.
"""

import difflib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from app.errors import DoesNotFit, Invalid, MissingKey, NonFinite, OutOfRange, UnknownChoice, UnknownKey, WrongType
from app.json_words import told

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""Of models, datasets and aliases."""
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}([:@][A-Za-z0-9._-]{1,63})?$"
"""Of a version of a model: `name`, `name:number` or `name@alias`."""
PATTERNS = {
    NAME: "a name has 1 to 63 letters from a to z, digits, dots, dashes and underscores, and begins with a letter or "
    "a digit",
}
"""Patterns in words."""
SHOWN = 200
"""Characters of what was given, in a message."""
REQUIRED = "this key is required"
KINDS: dict[str, type[Invalid]] = {
    "extra_forbidden": UnknownKey,
    "missing": MissingKey,
    "union_tag_not_found": MissingKey,
    "union_tag_invalid": UnknownChoice,
    "literal_error": UnknownChoice,
    "enum": UnknownChoice,
    "finite_number": NonFinite,
    "value_error": DoesNotFit,
    **dict.fromkeys(["greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"], OutOfRange),
    **dict.fromkeys(["string_too_short", "string_too_long", "too_short", "too_long"], OutOfRange),
    "string_pattern_mismatch": OutOfRange,
}
"""pydantic's error types to ours; all others are WrongType."""
NO_OBJECT = ("model_attributes_type", "model_type", "dict_type")
"""Those of what is no object where one is needed."""


def from_validation(errors: Sequence[Mapping[str, Any]], body: Any, model: Any = None) -> Invalid:
    """The first of pydantic's `errors()` as one of ours; `body` is what was validated, `model` by which, if known: a
    class or a `TypeAdapter`.

    Where the members of a union were tried in turn, the error at the deepest key that one of them has is of the one
    that was meant. A key that is missing beside one that nobody knows was misspelt.
    """
    tried = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
    first = max(tried, key=lambda error: len(_path(error, body)) - (error["type"] in ("missing", "extra_forbidden")))
    if first["type"] == "missing":
        unknown = (error for error in errors if error["type"] == "extra_forbidden")
        first = next((error for error in unknown if error["loc"][:-1] == first["loc"][:-1]), first)
    path = _path(first, body)
    param = _written(path)
    kind = KINDS.get(first["type"], WrongType)
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        param = f"{param}.name" if param else "kind"
        message = f"{context['tag']!r} is unknown; choose one of {context['expected_tags']}"
    elif first["type"] == "union_tag_not_found":
        tag = first["ctx"]["discriminator"].strip("'")
        param = f"{param}.{tag}" if param else tag
        choices = list(_union(model, path, body).get("mapping", ()))
        message = f"{REQUIRED}; choose one of {', '.join(map(repr, choices))}" if choices else REQUIRED
    elif kind is UnknownKey:
        around = _keys(model, path[:-2], body) if len(path) > 1 else {}
        message = f"there is no such key{_instead(path, _keys(model, path[:-1], body), around)}"
    elif kind is MissingKey:
        message = REQUIRED
    else:
        given = first.get("input")
        words = PATTERNS.get(first.get("ctx", {}).get("pattern"), message)
        beside = [each for each in tried if each["type"] == "literal_error" and each is not first]
        words += "".join(f" or {each['ctx']['expected']}" for each in beside if _path(each, body) == path)
        if first["type"] == "none_required":
            words = "there is nothing to choose here, leave it out or null"
        if first["type"] in NO_OBJECT:
            tag = _union(model, path, body).get("propertyName") if isinstance(given, str) else None
            words = "expected an object" if tag is None else f"expected an object such as {json.dumps({tag: given})}"
        message = f"{words}; got {told(given, SHOWN)}"
    return kind(f"{param}: {message}" if param else message, param=param)


def _path(error: Mapping[str, Any], body: Any) -> list[str | int]:
    """Where in the body the error lies. pydantic's locations name the members of unions too, which are no keys."""
    path: list[str | int] = []
    here = body
    for position, step in enumerate(error["loc"]):
        absent = error["type"] == "missing" and position == len(error["loc"]) - 1
        if not isinstance(here, Mapping | list) or (isinstance(here, Mapping) and step not in here and not absent):
            continue
        path.append(step)
        known = step in here if isinstance(here, Mapping) else isinstance(step, int) and step < len(here)
        here = here[step] if known else None
    return path


def _written(path: Sequence[str | int]) -> str | None:
    """`datasets[0].id`; None for the whole body."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".") or None


def _instead(path: Sequence[str | int], known: Mapping[str, Sequence[str]], around: Collection[str]) -> str:
    """The key that was meant, and all that there are.

    `known` are these and the keys of the object in each, `around` those of the object that holds this one.
    """
    if not known:
        return ""
    key = str(path[-1])
    inside = [f"{name}.{key}" for name, keys in known.items() if key in keys]
    beside = [f"{key} beside {path[-2]}"] if key in around else []
    meant = inside or beside or difflib.get_close_matches(key, known, n=1)
    return (f", did you mean {meant[0]}? There" if meant else "; there") + f" are {', '.join(sorted(known))}"


def _keys(model: Any, path: Sequence[str | int], body: Any) -> dict[str, list[str]]:
    """The keys of the object at `path`, and those of the objects that these hold; none where that is not known."""
    if model is None:
        return {}
    document = _schema(model)
    schema, value = _found(document, path, body)
    fields = _followed(schema, value, document).get("properties", {})
    return {name: list(_followed(inner, None, document).get("properties", {})) for name, inner in fields.items()}


def _union(model: Any, path: Sequence[str | int], body: Any) -> Mapping[str, Any]:
    """Which key says which object of several is meant at `path`, and by what values; nothing where none does."""
    if model is None:
        return {}
    document = _schema(model)
    schema, _ = _found(document, path, body)
    choices = (schema, *(schema.get("anyOf") or ())) if isinstance(schema, Mapping) else ()
    return next((each["discriminator"] for each in choices if "discriminator" in each), {})


def _found(document: Mapping[str, Any], path: Sequence[str | int], body: Any) -> tuple[Any, Any]:
    """What `document` says of the place at `path`, and what is there in `body`."""
    schema: Any = document
    for step in path:
        around = _followed(schema, body, document)
        inner = around.get("items") if isinstance(step, int) else around.get("properties", {}).get(step)
        schema, body = inner or around.get("additionalProperties") or {}, body[step]
    return schema, body


@lru_cache(maxsize=64)
def _schema(model: Any) -> dict[str, Any]:
    adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    return adapter.json_schema()


def _followed(schema: Any, value: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of one object: behind references, and in a union the member that `value` names, or the only one."""
    found = list(_members(schema, value, document)) if isinstance(schema, Mapping) else []
    return found[0] if len(found) == 1 else {}


def _members(schema: Mapping[str, Any], value: Any, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _members(document["$defs"][name], value, document)
    elif "discriminator" in schema:
        tag = value.get(schema["discriminator"]["propertyName"]) if isinstance(value, Mapping) else None
        member = schema["discriminator"]["mapping"].get(tag) if isinstance(tag, str) else None
        if member is not None:
            yield from _members({"$ref": member}, value, document)
    elif "anyOf" in schema or "oneOf" in schema:
        for member in schema.get("anyOf") or schema["oneOf"]:
            yield from _members(member, value, document)
    elif schema.get("type") in ("object", "array"):
        yield schema
