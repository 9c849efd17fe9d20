"""Reads the container files as their tools would. Knows no container engine."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def read_environment_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def substituted(value: Any, variables: dict[str, str]) -> Any:
    """`value` with `${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced as compose does, and `$$` by `$`."""
    if isinstance(value, dict):
        return {key: substituted(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        found = variables.get(match["name"], "")
        if not found and match["otherwise"] == ":?":
            raise AssertionError(f"{match['name']} is required and not in .env.example")
        return found or (match["text"] if match["otherwise"] == ":-" else "")

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<otherwise>:[-?])(?P<text>[^}]*))?\}", replace, value)


def read_compose() -> dict[str, Any]:
    """The services of the compose file, with the values of `.env.example`."""
    parsed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = substituted(parsed, read_environment_example())["services"]
    return services


def read_dockerfile() -> list[tuple[str, str]]:
    """The instructions of the last stage, as (word, rest)."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    instructions = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]
    last = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return instructions[last:]
