"""The OpenAPI document, and a page that shows it without anything from another host. Knows no route."""

import json
from collections.abc import Collection
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from app.api import openapi_examples, openapi_glossary
from app.api.schemas import ErrorEnvelope

REFERENCE = "#/components/schemas/{model}"
HOISTED = "x-schemas"
"""Key under which a route that reads its body itself leaves the schemas that its description refers to."""

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "summary{cursor:pointer;padding:.3rem 0}code,pre{font:14px/1.4 ui-monospace,monospace}"
    "pre{background:#8881;padding:1rem;overflow:auto}b{display:inline-block;min-width:4.5rem}"
)


def json_body(model: type[BaseModel], *, form_fields: Collection[str] = ()) -> dict[str, Any]:
    """`openapi_extra` of a route that reads `model` from its body by itself; with `form_fields`, also from a form."""
    schema = model.model_json_schema(ref_template=REFERENCE)
    schemas = {**schema.pop("$defs", {}), model.__name__: schema}
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
    if form_fields:
        said = {name: about.get("description", "") for name, about in schema["properties"].items()}
        fields = {name: {"type": "string", "description": said[name]} for name in sorted(form_fields)}
        files = {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
        needed = set(form_fields) & set(schema.get("required", ()))
        form = {"type": "object", "required": [*sorted(needed), "file"], "properties": {"file": files, **fields}}
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}, HOISTED: schemas}


def install(app: FastAPI) -> None:
    """Serves `/openapi.json` and `/docs`."""
    make = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = make()
            for operations in made["paths"].values():
                for operation in operations.values():
                    made["components"]["schemas"] |= operation.pop(HOISTED, {})
                    for response in operation["responses"].values():
                        response.update(as_json(response))
            openapi_glossary.describe(made)
            openapi_examples.add(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))


def as_json(response: dict[str, Any]) -> dict[str, Any]:
    """What an answer may hold, where it is a refusal: JSON, whatever else the route gives."""
    shapes = [content.get("schema") for content in response.get("content", {}).values()]
    refusal = {"$ref": REFERENCE.format(model=ErrorEnvelope.__name__)}
    return {"content": {"application/json": {"schema": refusal}}} if shapes == [refusal] else {}


def page(document: dict[str, Any]) -> str:
    """The document as one page of HTML."""
    title = f"{document['info']['title']} {document['info']['version']}"
    routes = "".join(
        _operation(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    shapes = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_shape(shape)}</details>'
        for name, shape in sorted(document["components"]["schemas"].items())
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(document['info'].get('description', ''))}</p>"
        f'<p>The same for programs: <a href="/openapi.json">/openapi.json</a></p>'
        f"<h2>Routes</h2>{routes}<h2>Shapes</h2>{shapes}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"<p>{escape(operation.get('description', ''))}</p>"]
    for parameter in operation.get("parameters", []):
        text = escape(parameter.get("description", ""))
        kind = escape(_type(parameter.get("schema", {})))
        lines.append(f"<p><code>{escape(parameter['name'])}</code> ({parameter['in']}; {kind}) {text}</p>")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        lines.append(f"<p>Body, <code>{escape(kind)}</code>: {_link(content.get('schema', {}))}</p>")
        for what, example in content.get("examples", {}).items():
            lines.append(f"<p>{escape(what)}:</p><pre>{escape(json.dumps(example['value'], indent=2))}</pre>")
    for status, response in operation.get("responses", {}).items():
        shapes = [_link(content.get("schema", {})) for content in response.get("content", {}).values()]
        lines.append(f"<p>{escape(status)}: {' or '.join(shapes) or escape(response['description'])}</p>")
    name = f"<b>{method.upper()}</b> <code>{escape(path)}</code>"
    return f"<details><summary>{name} {escape(operation.get('summary', ''))}</summary>{''.join(lines)}</details>"


def _shape(shape: dict[str, Any]) -> str:
    lines = [f"<p>{escape(shape.get('description', ''))}</p>"]
    for name, field in shape.get("properties", {}).items():
        text = escape(field.get("description", ""))
        lines.append(f"<p><code>{escape(name)}</code> ({_link(field)}) {text}</p>")
    return "".join(lines)


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " | ".join(_type(choice) for choice in choices)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _link(schema: dict[str, Any]) -> str:
    name = _type(schema)
    return f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>' if "$ref" in schema else escape(name)
