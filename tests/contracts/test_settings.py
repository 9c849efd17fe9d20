"""What a client may set: survives JSON, is documented, is closed."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.ml.augmentations.base import Augmentation
from app.ml.encoders.base import EncoderSettings
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings
from app.ml.plugins import find
from tests.contracts.specimens import plugins

FOLDERS: list[tuple[str, type[Any]]] = [
    ("modalities", Modality),
    ("augmentations", Augmentation),
    ("encoders", EncoderSettings),
    ("objectives", ObjectiveSettings),
]
ALL = [pytest.param(plugin, id=plugin.name) for folder, base in FOLDERS for plugin in plugins(folder, base)]


@pytest.mark.parametrize(("folder", "base"), FOLDERS)
def test_every_file_holds_one_plugin_of_its_name(folder: str, base: type[Any]) -> None:
    for name, plugin in find(folder, base).items():
        assert plugin.__module__ == f"app.ml.{folder}.{name}"


@pytest.mark.parametrize("settings", ALL)
def test_settings_survive_json(settings: Any) -> None:
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("settings", ALL)
def test_every_field_is_documented(settings: Any) -> None:
    schema = type(settings).model_json_schema()
    assert schema["description"]
    undocumented = [name for name, field in schema["properties"].items() if not field.get("description")]
    assert undocumented == []


@pytest.mark.parametrize("settings", ALL)
def test_an_unknown_key_is_refused(settings: Any) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        type(settings).model_validate({**settings.model_dump(), "unheard_of": 1})
