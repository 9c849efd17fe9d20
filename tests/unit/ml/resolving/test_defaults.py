"""Every default is decided from the data, shown with a reason, and a pair that cannot work is refused."""

from typing import Any

import pytest

from app.errors import Invalid
from app.ml.encoders.cnn import Cnn
from app.ml.encoders.transformer import Transformer
from app.ml.jobs.train import JobRequest, TrainSpec
from app.ml.objectives import classification, detection
from app.ml.objectives.translation import Translation
from app.ml.resolving.defaults import Resolved, resolve

IMAGES: dict[str, Any] = {
    "modality": "image",
    "rows": 5000,
    "splits": {"train": 3600, "validation": 400, "test": 1000},
    "input": {"name": "images", "modality": "image", "shape": [28, 28, 1]},
    "target": {
        "name": "labels",
        "modality": "classes",
        "classes": {"0": 600, "1": 700},
        "missing": 3700,
        "splits": {"train": {"0": 300, "1": 400}, "validation": {"0": 50, "1": 50}, "test": {"0": 250, "1": 250}},
    },
}
TABLE: dict[str, Any] = {
    "modality": "vectors",
    "rows": 150,
    "splits": {"train": 108, "validation": 12, "test": 30},
    "input": {"name": "features", "modality": "vectors", "shape": [4]},
    "target": None,
}

NUMBERS: dict[str, Any] = {
    "target": {"name": "value", "modality": "numbers", "shape": [], "mean": 3.0, "deviation": 1.0}
}

SOUNDS: dict[str, Any] = TABLE | {
    "modality": "audio",
    "input": {"name": "audio", "modality": "audio", "rate": 8000, "seconds": {"p99": 1.0, "max": 40.0}},
}

PAIRS: dict[str, Any] = {
    "modality": "text",
    "rows": 900,
    "splits": {"train": 720, "validation": 90, "test": 90},
    "source": {"name": "en", "modality": "text", "characters": {"mean": 40.0}},
    "target": {"name": "de", "modality": "text", "characters": {"mean": 50.0}},
}


def resolved(body: dict[str, Any], profile: dict[str, Any], base: dict[str, Any] | None = None) -> Resolved:
    return resolve(JobRequest.validate_python({"dataset": "ds-1", **body}), [profile], base, name="from-dataset")


@pytest.mark.parametrize("profile", [IMAGES, TABLE, SOUNDS])
def test_nothing_is_left_open(profile: dict[str, Any]) -> None:
    found = resolved({"kind": "pretrain"}, profile)

    assert found.spec.name == "from-dataset"
    assert found.spec.roles["input"].modality.name == profile["modality"]
    assert "auto" not in str(found.spec.training.model_dump(exclude={"precision"}))
    assert all(choice["reason"] for choice in found.choices)
    assert TrainSpec.model_validate(found.spec.model_dump(mode="json")) == found.spec


def test_pairs_of_sources_and_targets_are_translated_with_one_vocabulary() -> None:
    spec = resolved({"kind": "pretrain"}, PAIRS).spec
    assert spec.objective.name == "translation"
    assert spec.training.max_seconds == 600, "pairs are dear: time is a bound, too"
    assert {role: part.like for role, part in spec.roles.items()} == {"source": None, "target": "source"}
    assert [part.modality.model_dump()["vocabulary"] for part in spec.roles.values()] == [4000, 4000]
    apart = resolved({"kind": "pretrain", "objective": {"name": "translation", "shared": False}}, PAIRS).spec
    assert apart.roles["target"].like is None


@pytest.mark.parametrize(("rows", "width", "depth"), [(720, 128, 2), (99_999, 128, 2), (100_000, 256, 4)])
def test_few_pairs_are_translated_by_a_small_network(rows: int, width: int, depth: int) -> None:
    found = resolved({"kind": "pretrain"}, {**PAIRS, "splits": {**PAIRS["splits"], "train": rows}})
    encoder, objective = found.spec.roles["source"].encoder, found.spec.objective
    assert isinstance(encoder, Transformer)
    assert isinstance(objective, Translation)
    assert (encoder.width, encoder.depth, objective.width) == (width, depth, width)
    told = {choice["key"]: choice["value"] for choice in found.choices}
    assert told["objective.width"] == width
    assert ("roles.source.encoder.depth" in told) == (rows < 100_000)


@pytest.mark.parametrize(
    ("asked", "width", "depth"),
    [({"preset": "small"}, 256, 4), ({"depth": 3}, 128, 3), ({"width": 64}, 64, 2)],
)
def test_a_client_decides_the_size_of_a_translators_encoder(asked: dict[str, Any], width: int, depth: int) -> None:
    body = {"kind": "pretrain", "roles": {"source": {"encoder": {"name": "auto", **asked}}}}
    encoder = resolved(body, PAIRS).spec.roles["source"].encoder
    assert isinstance(encoder, Transformer)
    assert (encoder.width, encoder.depth) == (width, depth)


def test_a_decoder_as_wide_as_was_asked_for_stays_so() -> None:
    spec = resolved({"kind": "pretrain", "objective": {"name": "translation", "width": 64}}, PAIRS).spec
    assert isinstance(spec.objective, Translation)
    assert spec.objective.width == 64
    with pytest.raises(ValueError, match="cannot be shared by 5 heads"):
        resolved({"kind": "pretrain", "objective": {"name": "translation", "heads": 5}}, PAIRS)


def test_a_base_model_of_one_language_brings_no_vocabulary_for_another() -> None:
    texts = {"input": {"modality": {"name": "text"}, "encoder": {"name": "rnn"}}}
    base = {"reference": "texts:1", "spec": {"roles": texts, "objective": {"name": "next_token"}}}
    body = {"kind": "finetune", "base_model": "texts:1"}
    spec = resolved(body, PAIRS, base).spec
    assert (spec.objective.name, spec.roles["target"].like) == ("translation", None)
    translator = {"reference": "en-de:1", "spec": resolved({"kind": "pretrain"}, PAIRS).spec.model_dump(mode="json")}
    going_on = resolved({"kind": "pretrain", "base_model": "en-de:1"}, PAIRS, translator).spec
    assert going_on.roles["target"].like == "source", "where the base had one for both, it stays"
    with pytest.raises(Invalid, match="cannot share a vocabulary"):
        resolved({**body, "objective": {"name": "translation", "shared": True}}, PAIRS, base)


def test_what_is_given_beside_auto_is_kept() -> None:
    found = resolved({"kind": "pretrain", "encoder": {"name": "auto", "dimensions": 8}}, IMAGES)

    assert found.spec.roles["input"].dimensions == 8


def test_a_network_that_is_named_is_trained_as_it_is() -> None:
    def residual(encoder: dict[str, Any]) -> bool:
        body = {"kind": "pretrain", "objective": {"name": "autoencoding"}, "encoder": encoder}
        objective = resolved(body, IMAGES).spec.objective.model_dump()
        assert objective["code_noise"] == (0.1 if objective["residual"] else 0.0)
        return bool(objective["residual"])

    assert residual({"name": "auto", "dimensions": 8})
    assert not residual({"name": "mlp", "preset": "reference", "dimensions": 8})


def test_going_on_keeps_the_form_of_the_base_model() -> None:
    base = resolved({"kind": "pretrain", "objective": {"name": "autoencoding", "code_noise": 0.2}}, IMAGES).spec
    told = {"reference": "root:1", "spec": base.model_dump(mode="json")}
    on = resolved({"kind": "pretrain", "base_model": "root"}, IMAGES, told).spec.objective.model_dump()
    assert (on["residual"], on["code_noise"]) == (True, 0.2)


def test_going_on_without_an_objective_takes_the_settings_of_the_base() -> None:
    asked = {"name": "denoising", "noise": "gaussian", "strength": 0.4}
    base = resolved({"kind": "pretrain", "objective": asked}, TABLE).spec
    told = {"reference": "root:1", "spec": base.model_dump(mode="json")}
    goes_on = {"kind": "pretrain", "base_model": "root"}

    def of(**objective: Any) -> Any:
        return resolved({**goes_on, **objective}, TABLE, told).spec.objective

    assert of() == base.objective
    assert of(objective={"name": "auto", "strength": 0.1}) == base.objective.model_copy(update={"strength": 0.1})
    assert of(objective={"name": "denoising"}).noise == "masking"


def test_a_width_of_embeddings_is_refused_where_nothing_embeds() -> None:
    roles = {"source": {"encoder": {"name": "auto", "dimensions": 8}}}
    with pytest.raises(Invalid, match=r"dimensions 8 does not fit.*'translation'.*can translate alone; leave it out"):
        resolved({"kind": "pretrain", "roles": roles}, PAIRS)


@pytest.mark.parametrize(
    ("encoder", "objective"),
    [
        (None, "contrastive"),
        ({"name": "auto", "dimensions": 128}, "contrastive"),
        ({"name": "auto", "dimensions": 8}, "autoencoding"),
        ({"name": "cnn", "dimensions": 32}, "autoencoding"),
        ({"name": "cnn"}, "contrastive"),
    ],
)
def test_pictures_are_compared_unless_few_numbers_are_asked_for(encoder: dict[str, Any] | None, objective: str) -> None:
    spec = resolved({"kind": "pretrain"} | ({"encoder": encoder} if encoder else {}), IMAGES).spec

    assert spec.objective.name == objective
    if objective == "contrastive":
        assert spec.objective.model_dump()["components"] == 64


def test_sounds_keep_the_rate_of_their_dataset_and_are_compared() -> None:
    spec = resolved({"kind": "pretrain"}, SOUNDS).spec

    assert spec.roles["input"].modality.model_dump()["rate"] == 8000
    assert spec.objective.name == "contrastive"
    assert [_encoder(SOUNDS, seconds) for seconds in (1.0, 20.0)] == ["mlp", "cnn"]


@pytest.mark.parametrize(("rows", "encoder"), [(249, "kernels"), (250, "cnn")])
def test_classes_of_few_sounds_are_told_by_random_kernels(rows: int, encoder: str) -> None:
    splits = {"train": {"a": 100, "b": rows - 100}, "validation": {"a": 50, "b": 50}, "test": {"a": 50, "b": 50}}
    labels = {"name": "label", "modality": "classes", "classes": {"a": 200, "b": rows}, "missing": 800 - rows}
    profile = {
        "rows": 1000,
        "splits": {"train": 800, "validation": 100, "test": 100},
        "target": labels | {"splits": splits},
    }

    spec = resolved({"kind": "pretrain", "objective": {"name": "classification"}}, SOUNDS | profile).spec

    chosen = spec.roles["input"].encoder
    assert chosen is not None
    assert chosen.name == encoder


def _encoder(profile: dict[str, Any], seconds: float) -> str:
    body = {"kind": "pretrain", "modality": {"name": "audio", "seconds": seconds}}
    encoder = resolved(body, profile).spec.roles["input"].encoder
    assert encoder is not None
    return encoder.name


@pytest.mark.parametrize(("scaled", "size"), [(True, 28), (False, None)])
def test_pictures_that_ingest_scaled_are_scaled_in_requests_too(scaled: bool, size: int | None) -> None:
    profile = IMAGES | {"input": IMAGES["input"] | {"scaled": scaled}}
    modality = resolved({"kind": "pretrain"}, profile).spec.roles["input"].modality

    assert modality.model_dump()["size"] == size


def test_what_is_asked_is_not_changed() -> None:
    training = {"epochs": 3, "batch_size": 7, "learning_rate": 0.5, "schedule": "constant", "clip_norm": None}
    found = resolved({"kind": "pretrain", "training": training, "name": "mine"}, TABLE)

    assert found.spec.training.model_dump(include=set(training)) == training
    assert found.spec.name == "mine"


def test_a_graft_takes_the_encoder_of_its_base() -> None:
    base = resolved({"kind": "pretrain", "encoder": {"name": "mlp", "widths": [32, 16], "dimensions": 4}}, IMAGES)
    found = resolved(
        {"kind": "finetune", "base_model": "root"},
        IMAGES,
        {"reference": "root:1", "spec": base.spec.model_dump(mode="json")},
    )

    assert found.spec.base_model == "root:1"
    assert found.spec.objective.name == "classification"
    assert found.spec.roles["input"].encoder == base.spec.roles["input"].encoder
    assert found.spec.roles["input"].dimensions is None


@pytest.mark.parametrize(
    ("body", "profile", "code"),
    [
        ({"encoder": {"name": "rnn"}}, TABLE, "does_not_fit"),
        ({"encoder": {"name": "cnn", "channels": 3}}, TABLE, "does_not_fit"),
        ({"encoder": {"name": "cnn", "channels": 1}}, IMAGES, "does_not_fit"),
        ({"modality": {"name": "image"}}, TABLE, "does_not_fit"),
        ({"objective": {"name": "classification"}}, TABLE, "does_not_fit"),
        ({"encoder": {"name": "auto", "colour": 8}}, TABLE, "unknown_key"),
        ({"encoder": {"name": "auto", "dimensions": -8}}, TABLE, "out_of_range"),
        ({"roles": {"left": {}}}, TABLE, "does_not_fit"),
        ({"objective": {"name": "regression", "residual": True}}, IMAGES | NUMBERS, "does_not_fit"),
        ({}, TABLE | {"splits": {"train": 1, "validation": 1, "test": 1}}, "out_of_range"),
        (
            {"objective": {"name": "classification"}},
            IMAGES | {"target": IMAGES["target"] | {"classes": {"0": 600}}},
            "out_of_range",
        ),
    ],
)
def test_what_cannot_work_is_refused(body: dict[str, Any], profile: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as caught:
        resolved({"kind": "pretrain", **body}, profile)

    assert caught.value.code == code
    assert caught.value.param


@pytest.mark.parametrize(("rows", "pieces"), [(108, 13), (30, None), (5000, 32)])
def test_numbers_are_predicted_from_tables_beside_a_line_and_by_pieces(rows: int, pieces: int | None) -> None:
    body = {"kind": "pretrain", "objective": {"name": "regression"}}
    spec = resolved(body, TABLE | NUMBERS | {"splits": {"train": rows, "validation": 12, "test": 30}}).spec
    assert vars(spec.objective)["residual"] is True
    assert vars(spec.roles["input"].encoder)["pieces"] == pieces
    plain = resolved(
        {**body, "objective": {"name": "regression", "residual": False}, "encoder": {"name": "mlp"}}, TABLE | NUMBERS
    )
    assert vars(plain.spec.objective)["residual"] is False
    assert vars(plain.spec.roles["input"].encoder)["pieces"] is None
    assert vars(resolved(body, IMAGES | NUMBERS).spec.objective)["residual"] is False


@pytest.mark.parametrize(("rows", "begun"), [(2048, True), (2049, False)])
def test_a_line_stands_beside_rows_that_are_wide_or_many(rows: int, begun: bool) -> None:
    wide = {"input": {"name": "features", "modality": "vectors", "shape": [5000]}}
    profile = TABLE | NUMBERS | wide | {"splits": {"train": rows, "validation": 12, "test": 30}}
    spec = resolved({"kind": "pretrain", "objective": {"name": "regression"}}, profile).spec
    assert vars(spec.objective)["residual"] is begun


def test_a_base_of_another_modality_is_refused() -> None:
    base = resolved({"kind": "pretrain"}, TABLE)
    with pytest.raises(Invalid, match="vectors"):
        resolved(
            {"kind": "finetune", "base_model": "root"},
            IMAGES,
            {"reference": "root:1", "spec": base.spec.model_dump(mode="json")},
        )


def test_what_augmentation_does_is_decided_and_given_a_reason() -> None:
    body = {"kind": "pretrain", "objective": {"name": "autoencoding"}}
    found = resolved(body, IMAGES)
    flipped = resolved(body | {"augmentation": {"name": "auto", "flip": 0.5}}, IMAGES)

    assert found.spec.augmentation.name == "none"
    assert flipped.spec.augmentation.model_dump(exclude_defaults=True) == {"flip": 0.5}
    assert flipped.spec.augmentation.name == "image"
    (choice,) = [choice for choice in flipped.choices if choice["key"] == "augmentation"]
    assert choice["value"] == {"name": "image", "flip": 0.5}


def test_boxes_keep_maps_as_fine_as_they_need() -> None:
    boxes = {"name": "boxes", "modality": "boxes", "labels": ["cat"], "picture": [256, 256]}
    photos = IMAGES | {"input": IMAGES["input"] | {"shape": [256, 256, 3]}, "target": boxes}
    body = {"kind": "pretrain", "objective": {"name": "detection"}, "modality": {"name": "image", "size": 256}}
    encoder = resolved(body, photos).spec.roles["input"].encoder
    assert isinstance(encoder, Cnn)
    assert encoder.stem == 4


def test_pictures_with_boxes_are_changed_unless_somebody_says_otherwise() -> None:
    """Few pictures are seen hundreds of times."""
    boxes = {"name": "boxes", "modality": "boxes", "labels": ["cat"], "picture": [28, 28]}
    body: dict[str, Any] = {"kind": "pretrain", "objective": {"name": "detection"}}
    found = resolved(body, {**IMAGES, "target": boxes}).spec.augmentation
    assert (found.name, found.model_dump(exclude_defaults=True)) == ("image", detection.CHANGES["image"])
    asked = resolved(body | {"augmentation": {"name": "auto", "flip": 0.5}}, {**IMAGES, "target": boxes})
    assert asked.spec.augmentation.model_dump(exclude_defaults=True) == {"flip": 0.5}
    without = resolved(body | {"augmentation": {"name": "none"}}, {**IMAGES, "target": boxes})
    assert without.spec.augmentation.name == "none"


def test_pictures_of_classes_are_changed_as_every_class_bears_it() -> None:
    body: dict[str, Any] = {"kind": "pretrain", "objective": {"name": "classification"}}
    found = resolved(body, IMAGES).spec.augmentation
    assert found.model_dump(exclude_defaults=True) == classification.CHANGES["image"]
    assert found.model_dump()["flip"] == 0, "a mirrored b is a d"
    assert resolved(body, {**TABLE, "target": IMAGES["target"]}).spec.augmentation.name == "none"
    base = {"reference": "root:1", "spec": resolved({"kind": "pretrain"}, IMAGES).spec.model_dump(mode="json")}
    graft = resolved({"kind": "finetune", "base_model": "root"}, IMAGES, base)
    assert (graft.spec.objective.name, graft.spec.augmentation.name) == ("classification", "none")


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ({"name": "image"}, "augmentation 'image' does not fit: the inputs are 'vectors'; 'vectors' or 'none' does"),
        ({"name": "auto", "flip": 0.5}, "flip"),
    ],
)
def test_an_augmentation_that_does_not_fit_is_refused(augmentation: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        resolved({"kind": "pretrain", "augmentation": augmentation}, TABLE)


def test_texts_that_take_long_to_read_once_get_a_bound_in_time() -> None:
    texts = {"modality": "text", "name": "text", "characters": {"mean": 800.0}}
    profile = {"input": texts, "target": None, "splits": {"train": 50_000, "validation": 5000}}
    for training, seconds in (({}, 600), ({"epochs": 2}, None), ({"max_seconds": 20}, 20)):
        body = {"kind": "pretrain", "dataset": "d", "objective": {"name": "autoencoding"}, "training": training}
        assert resolved(body, profile).spec.training.max_seconds == seconds


@pytest.mark.parametrize("body", [{"kind": "finetune", "base_model": "b"}, {"objective": {"name": "classification"}}])
def test_a_dataset_without_labels_says_which_columns_could_be_some(body: dict[str, Any]) -> None:
    unsure = TABLE | {"inferred": {"target": "few different values in 'default', 'student'"}}
    with pytest.raises(Invalid, match=r"and the dataset has none \(few different values in 'default', 'student'\)"):
        resolved({"kind": "pretrain", **body}, unsure)
    with pytest.raises(Invalid, match=r"none \(a column 'label' holds classes, or columns.label of"):
        resolved({"kind": "pretrain", **body}, TABLE)


@pytest.mark.parametrize("profile", [IMAGES | {"target": None}, SOUNDS])
def test_files_without_labels_are_told_where_those_stand(profile: dict[str, Any]) -> None:
    with pytest.raises(
        Invalid, match=r"needs labels, .* none \(in an archive they are the innermost folders, or stand in"
    ):
        resolved({"kind": "finetune", "base_model": "b"}, profile)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ([{"name": "stars", "plays": "label"}], "all cells of its column 'stars' are empty"),
        (
            [{"name": "de", "plays": "ignored"}],
            "it leaves aside 'de'; call what is to be told 'label' in the file, or name it: columns",
        ),
    ],
)
def test_a_dataset_without_labels_says_why(columns: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        resolved({"kind": "finetune", "base_model": "b"}, TABLE | {"columns": columns})
    assert f"a finetune job without objective needs labels, and the dataset has none ({said}" in refused.value.message


def test_pictures_without_boxes_are_told_where_boxes_come_from() -> None:
    with pytest.raises(Invalid, match=r"needs boxes, and the dataset has none \(boxes are read from files of COCO"):
        resolved({"kind": "pretrain", "objective": {"name": "detection"}}, IMAGES | {"target": None})


def test_recordings_without_transcripts_are_told_where_those_stand() -> None:
    profile = IMAGES | {"target": None}
    with pytest.raises(
        Invalid, match=r"needs caption, .* none \(captions are a column of texts, or in an archive a text"
    ):
        resolved({"kind": "pretrain", "objective": {"name": "speech_synthesis"}}, profile)


def test_a_finetune_job_without_a_base_is_told_how_labels_are_learned_from_nothing() -> None:
    with pytest.raises(
        ValueError, match=r"use kind 'pretrain' and name what .* objective {\"name\": \"classification\"}"
    ):
        resolved({"kind": "finetune"}, IMAGES)


WORDS = {"modality": "text", "characters": {"p50": 20, "p99": 40, "max": 60}, "words": 1000}
ALIGNED = {"kind": "pretrain", "objective": {"name": "alignment"}}


def test_pictures_and_their_captions_are_pairs_as_they_are() -> None:
    captioned = IMAGES | {"caption": {"name": "words", "splits": {"train": 50, "validation": 5, "test": 5}, **WORDS}}
    made = resolved(ALIGNED, captioned).spec
    assert {role: part.modality.name for role, part in made.roles.items()} == {"left": "image", "right": "text"}
    few = captioned | {"caption": captioned["caption"] | {"splits": {"train": 1}}}
    with pytest.raises(Invalid, match="the training split has 1 row"):
        resolved(ALIGNED, few)


def test_a_finetune_job_goes_on_with_pairs_where_its_base_learned_such() -> None:
    pairs = TABLE | {"input": None, "left": {"name": "a", **WORDS}, "right": {"name": "b", **WORDS}}
    base = {"reference": "b:1", "spec": resolved(ALIGNED, pairs).spec.network()}
    finetune = {"kind": "finetune", "base_model": "b"}
    assert resolved(finetune, pairs, base).spec.objective.name == "alignment"
    counts = {"x": 20, "y": 20}
    splits = dict.fromkeys(("train", "validation", "test"), counts)
    labels = {"name": "label", "modality": "classes", "classes": counts, "splits": splits}
    texts = TABLE | {"input": {"name": "text", **WORDS}, "target": None}
    assert resolved(finetune, texts | {"target": labels}, base).spec.objective.name == "classification"
    with pytest.raises(Invalid, match=r"needs labels, .*; with 'left' and 'right' it would go on with 'alignment'"):
        resolved(finetune, texts, base)


def test_texts_and_what_becomes_of_them_are_pairs_and_first_of_all_to_be_translated() -> None:
    sides = {"source": {"name": "en", **WORDS}, "target": {"name": "de", **WORDS}}
    profile = {key: value for key, value in TABLE.items() if key != "input"} | sides
    assert resolved(ALIGNED, profile).spec.roles["right"].like == "left"
    assert resolved({"kind": "pretrain"}, profile).spec.objective.name == "translation"
    with pytest.raises(Invalid, match=r"needs input, .* \('translation' and 'alignment' take its pairs as they are"):
        resolved({"kind": "pretrain", "objective": {"name": "sentence_embeddings"}}, profile)


def test_a_target_that_nothing_predicts_is_told_what_is_predicted() -> None:
    profile = TABLE | {"target": {"name": "there", "modality": "audio"}}
    with pytest.raises(Invalid, match=r"of modality 'audio', only .*'classes', 'numbers', 'tags'"):
        resolved({"kind": "finetune", "base_model": "b"}, profile)


@pytest.mark.parametrize("gaps", [False, True])
def test_a_base_of_other_columns_names_them(gaps: bool) -> None:
    def table(*names: str) -> dict[str, Any]:
        columns = [{"name": name, "categories": None} for name in names]
        facts = {"name": "features", "modality": "vectors", "shape": [len(names)], "names": list(names)}
        return TABLE | {"input": facts | ({"columns": columns} if gaps else {})}

    base = resolved({"kind": "pretrain"}, table("age", "income", "default")).spec
    told = {"reference": "root:1", "spec": base.model_dump(mode="json")}
    with pytest.raises(Invalid, match=r"and the dataset's have 2: it lacks 'default'$"):
        resolved({"kind": "pretrain", "base_model": "root"}, table("age", "income"), told)
    with pytest.raises(Invalid, match=r"have 4: it lacks 'default' and it has 'a', 'b' besides$"):
        resolved({"kind": "pretrain", "base_model": "root"}, table("age", "income", "a", "b"), told)


def test_large_pictures_get_a_stem_for_their_size_and_are_told_so() -> None:
    photos = IMAGES | {"input": IMAGES["input"] | {"shape": [128, 128, 3]}}

    def stem(profile: dict[str, Any], encoder: dict[str, Any] | None, base: dict[str, Any] | None = None) -> Any:
        body = {"kind": "pretrain", "objective": {"name": "contrastive"}}
        found = resolved(
            body | ({"encoder": encoder} if encoder else {"base_model": "old"} if base else {}), profile, base
        )
        told = {choice["key"]: choice["value"] for choice in found.choices}
        made = found.spec.roles["input"].encoder
        assert isinstance(made, Cnn)
        assert told.get("roles.input.encoder.stem", made.stem) == made.stem
        return made.stem, "roles.input.encoder.stem" in told

    assert stem(photos, None) == stem(photos, {"name": "cnn", "preset": "nano"}) == (8, True)
    assert stem(photos, {"name": "cnn", "stem": 2}) == stem(photos, {"name": "auto", "stem": 2}) == (2, False)
    assert stem(IMAGES, None) == (None, False)
    large = IMAGES | {"input": IMAGES["input"] | {"shape": [256, 256, 3]}}
    assert stem(large, None) == (16, True)
    old: dict[str, Any] = {
        "reference": "old:1",
        "spec": resolved({"kind": "pretrain"}, photos).spec.model_dump(mode="json"),
    }
    del old["spec"]["roles"]["input"]["encoder"]["stem"]
    assert stem(photos, None, old) == (None, False), "a base keeps the network that it has"


def test_a_dataset_of_texts_says_how_two_become_a_pair() -> None:
    column = {"type": "text", "plays": "ignored"}
    texts = [{"name": "de", "type": "text", "plays": "features"}, {"name": "en", **column}, {"name": "id", **column}]
    profile = {"input": {"modality": "text", "name": "de"}, "columns": texts, "splits": {"train": 80}}
    for objective, pair in (
        ("translation", '"source": "…", "target": "…"'),
        ("alignment", '"left": "…", "right": "…"'),
    ):
        body = {"kind": "pretrain", "dataset": "d", "objective": {"name": objective}}
        with pytest.raises(Invalid) as refused:
            resolved(body, profile)
        assert f"name two of its texts 'de', 'en', 'id' when you make it: columns {{{pair}}}" in refused.value.message
        with pytest.raises(Invalid) as alone:
            resolved(body, profile | {"columns": texts[:1]})
        assert f"which line belongs to line: columns {{{pair}}}" in alone.value.message


@pytest.mark.parametrize(
    ("profile", "objective", "said"),
    [
        (IMAGES, "detection", "it takes 'boxes'; boxes are read from files of COCO, Pascal VOC, YOLO or CSV"),
        (TABLE, "regression", "it takes 'numbers'; columns.value of a dataset names a column of numbers"),
    ],
)
def test_another_target_is_told_where_it_comes_from(profile: dict[str, Any], objective: str, said: str) -> None:
    classes = {"modality": "classes", "name": "label", "classes": {"a": 50, "b": 50}, "splits": {}}
    with pytest.raises(Invalid) as refused:
        resolved({"kind": "pretrain", "objective": {"name": objective}}, profile | {"target": classes})
    assert said in refused.value.message


@pytest.mark.parametrize("encoder", [None, {"name": "kernels"}, {"name": "mlp"}])
def test_an_encoder_that_is_settled_trains_for_a_short_time_whoever_named_it(encoder: dict[str, Any] | None) -> None:
    classes = {"modality": "classes", "name": "label", "missing": 0, "classes": {"a": 75, "b": 75}}
    classes["splits"] = {"train": {"a": 54, "b": 54}, "validation": {"a": 6, "b": 6}, "test": {"a": 15, "b": 15}}
    series = TABLE | {"input": {"name": "features", "modality": "vectors", "shape": [96], "channels": 1}}
    body = {"kind": "pretrain", "objective": {"name": "classification"}}
    spec = resolved({**body, "encoder": encoder} if encoder else body, series | {"target": classes}).spec
    settled = encoder is None or encoder["name"] == "kernels"
    assert (spec.training.epochs <= 20) == settled


@pytest.mark.parametrize("encoder", [None, {"name": "sentences"}, {"name": "transformer"}])
def test_few_labels_of_texts_teach_no_network_to_read_by_default(encoder: dict[str, Any] | None) -> None:
    classes = {"modality": "classes", "name": "label", "missing": 0, "classes": {"a": 75, "b": 75}}
    classes["splits"] = {"train": {"a": 54, "b": 54}, "validation": {"a": 6, "b": 6}, "test": {"a": 15, "b": 15}}
    characters = {"min": 10.0, "median": 900.0, "p99": 2000.0, "max": 2000.0, "mean": 900.0}
    texts = TABLE | {"input": {"name": "text", "modality": "text", "characters": characters}}
    body = {"kind": "pretrain", "objective": {"name": "classification"}}
    spec = resolved({**body, "encoder": encoder} if encoder else body, texts | {"target": classes}).spec
    computed = encoder is None or encoder["name"] == "sentences"
    assert spec.roles["input"].encoder.name == ("sentences" if computed else "transformer")  # type: ignore[union-attr]
    assert (getattr(spec.roles["input"].modality, "tokenizer", None) == "words") == computed
    assert (spec.training.epochs <= 20) == computed
