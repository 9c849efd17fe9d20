"""Finds the plug-ins of a folder and types their union, so that a new file is accepted everywhere at once."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from app.errors import Invalid
from app.validation import from_validation

T = TypeVar("T")
Several = Annotated[tuple[T, ...], Field(strict=False)]
"""A list in JSON."""


class Settings(BaseModel):
    """Root of everything that a client may set: closed, immutable, documented by its fields' docstrings.

    And strict: neither `true` nor `"1"` is a number, however willing pydantic is by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


def find(folder: str, base: type[Any]) -> dict[str, type[Any]]:
    """Name to class of all concrete subclasses of `base` in `app.ml.<folder>`, one per file, sorted by name."""
    package = importlib.import_module(f"app.ml.{folder}")
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == "base":
            continue
        for item in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            if isinstance(item, type) and issubclass(item, base) and item.__module__.endswith(f".{module.name}"):
                found[plugin_name(item)] = item
    return dict(sorted(found.items()))


def plugin_name(plugin: type[Any]) -> str:
    """The literal default of the class's field `name`, or its class variable of that name."""
    fields = getattr(plugin, "model_fields", {})
    return str(fields["name"].default if "name" in fields else plugin.name)


def complete(union: TypeAdapter[T], name: str, given: Mapping[str, Any], param: str) -> T:
    """The plug-in of that name with what is given; `param` is what errors call it. Raises subclasses of Invalid."""
    body = {**given, "name": name}
    try:
        return union.validate_python(body)
    except ValidationError as error:
        invalid: Invalid = from_validation(error.errors(), body, union)
        raise type(invalid)(
            f"{param}.{invalid.message}", param=f"{param}.{invalid.param}" if invalid.param else param
        ) from None


class AnyOf:
    """Annotation that types a field as the tagged union of a folder: `Annotated[Encoder, AnyOf("encoders", Encoder)]`.

    With `auto`, `{"name": "auto", …}` and any keys beside it are accepted too and kept as an `Auto`.
    """

    def __init__(self, folder: str, base: type[Settings], *, auto: bool = False) -> None:
        self.folder, self.base, self.auto = folder, base, auto

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(member) for name, member in find(self.folder, self.base).items()}
        if self.auto:
            choices["auto"] = handler.generate_schema(Auto)
        return core_schema.tagged_union_schema(choices, discriminator="name")


class Auto(BaseModel):
    """`{"name": "auto"}`: choose from the data, and keep what is given beside it."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    name: Literal["auto"] = "auto"
    """Leaves the choice to the data."""

    def given(self) -> dict[str, Any]:
        """What was set beside the name."""
        return dict(self.model_extra or {})
