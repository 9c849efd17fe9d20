import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.errors import ArtifactDamaged
from app.ml import artifact
from app.ml.objectives.base import Objective
from app.ml.tensors.shapes import Tensors
from tests import networks


@pytest.mark.parametrize(
    ("modality", "objective"), [("vectors", "autoencoding"), ("image", "denoising"), ("image", "classification")]
)
def test_loads_what_was_saved(tmp_path: Path, modality: str, objective: str) -> None:
    files = networks.write(tmp_path, modality=modality, objective=objective)
    loaded = artifact.load(files)
    artifact.verify(loaded)
    again = artifact.load(files)
    assert "embed" in loaded.abilities
    assert loaded.dimensions == 4
    assert loaded.roles["input"].state() == again.roles["input"].state()
    for ability, expected in loaded.golden_outputs.items():
        assert torch.equal(artifact.ask(again.network, ability, loaded.golden_inputs), expected)
    assert loaded.size_bytes == sum(tensor.nbytes for tensor in loaded.network.state_dict().values())


@pytest.mark.parametrize(
    ("affordable", "sizes"), [(0, [1, 3]), (7.9, [1, 3]), (8, [1, 3, 8]), (300, [1, 3, 8, 64, 257])]
)
def test_batches_that_nobody_asks_for_are_not_proved(
    tmp_path: Path, affordable: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    monkeypatch.setattr(artifact, "MOST_WORK", affordable * loaded.work_per_row)
    proved = []
    show = artifact.show

    def shown(network: Objective, ability: str, items: Tensors) -> Tensor:
        proved.append((ability, len(items["values"])))
        return show(network, ability, items)

    monkeypatch.setattr(artifact, "show", shown)
    artifact.verify(loaded)
    assert proved == [(ability, size) for ability in loaded.abilities for size in sizes]
    monkeypatch.setattr(artifact, "MOST_NUMBERS", 8 * loaded.golden_inputs["values"][0].numel())
    assert loaded.batch_sizes == [size for size in sizes if size <= 8]


@pytest.mark.parametrize("name", [artifact.WEIGHTS, artifact.GOLDEN])
@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_flipped_byte_is_found(tmp_path: Path, name: str, place: int) -> None:
    files = networks.write(tmp_path)
    content = bytearray(files[name].read_bytes())
    content[place] ^= 0x01
    files[name].write_bytes(content)
    with pytest.raises(ArtifactDamaged, match="sha256"):
        artifact.load(files)


def test_golden_answers_find_weights_that_hide_behind_a_fitting_checksum(tmp_path: Path) -> None:
    files = networks.write(tmp_path)
    weights = load_file(files[artifact.WEIGHTS])
    first = next(name for name in sorted(weights) if name.startswith("encoders") and weights[name].dim() == 2)
    weights[first].view(torch.uint8)[0, 3] ^= 0x40  # the exponent of one weight
    save_file(weights, files[artifact.WEIGHTS])
    about = json.loads(files[artifact.MODEL].read_text())
    about["sha256"][artifact.WEIGHTS] = hashlib.sha256(files[artifact.WEIGHTS].read_bytes()).hexdigest()
    files[artifact.MODEL].write_text(json.dumps(about))
    loaded = artifact.load(files)
    with pytest.raises(ArtifactDamaged, match="golden"):
        artifact.verify(loaded)


def test_weights_that_are_not_finite_are_neither_saved_nor_verified(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    with torch.no_grad():
        next(loaded.network.parameters()).fill_(float("nan"))
    with pytest.raises(ArtifactDamaged):
        artifact.verify(loaded)
    with pytest.raises(ArtifactDamaged, match="not finite"):
        artifact.save(tmp_path, loaded.network, loaded.roles, loaded.spec, golden_inputs=loaded.golden_inputs, extra={})


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "sha256": {}, "spec": {"roles": {"input": {"modality": {"name": "odours"}}}}}',
    ],
)
def test_a_damaged_description_is_named(tmp_path: Path, damage: bytes) -> None:
    files = networks.write(tmp_path)
    files[artifact.MODEL].write_bytes(damage)
    with pytest.raises(ArtifactDamaged):
        artifact.load(files)


@pytest.mark.parametrize("part", ["modality", "encoder"])
def test_settings_of_a_newer_release_are_named(tmp_path: Path, part: str) -> None:
    files = networks.write(tmp_path)
    about = json.loads(files[artifact.MODEL].read_text())
    about["spec"]["roles"]["input"][part]["later"] = 1
    files[artifact.MODEL].write_text(json.dumps(about))
    with pytest.raises(ArtifactDamaged, match=rf"may be of a newer one, or .* gone: {part}\.\w+\.later: "):
        artifact.load(files)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = networks.write(tmp_path)
    with pytest.raises(ArtifactDamaged, match=r"no weights\.safetensors"):
        artifact.load({name: path for name, path in files.items() if name != artifact.WEIGHTS})
    files[artifact.GOLDEN].unlink()
    with pytest.raises(ArtifactDamaged, match="cannot be read"):
        artifact.load(files)


def test_weights_of_another_network_do_not_fit(tmp_path: Path) -> None:
    files = networks.write(tmp_path / "one")
    other = networks.write(tmp_path / "other", width=networks.WIDTH + 1)
    about = json.loads(files[artifact.MODEL].read_text())
    about["sha256"] = json.loads(other[artifact.MODEL].read_text())["sha256"]
    files[artifact.MODEL].write_text(json.dumps(about))
    with pytest.raises(ArtifactDamaged, match="size mismatch"):
        artifact.load(files | {name: other[name] for name in (artifact.WEIGHTS, artifact.GOLDEN)})


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    files = networks.write(tmp_path)
    before = torch.random.get_rng_state()
    artifact.load(files)
    assert np.array_equal(before.numpy(), torch.random.get_rng_state().numpy())
