"""A body or several for every route that takes JSON, as the OpenAPI document shows them. Knows no route's code.

Tests hold them against the schemas, and send them.
"""

from typing import Any

DATASET, FILE, MODEL = "ds-01m8bbk4a92sjnpw6an9d6z1a6", "file-01m8bbk2hngt115tkgntbwevqr", "digits"
ROW = [0.0, 3.5, 12.0, 0.25]
INFER = {"a row": {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": ROW}]}}
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/uploads"): {
        "a file of 150 MB in parts": {
            "filename": "digits.parquet",
            "purpose": "user_data",
            "bytes": 157_286_400,
            "mime_type": "application/vnd.apache.parquet",
        },
    },
    ("post", "/v1/uploads/{upload_id}/complete"): {
        "two parts, in order": {"part_ids": ["part_01m8bbk2yrat43nkf23p5yp4pz", "part_01m8bbk30c4djjjywj878ky5d7"]},
    },
    ("post", "/v1/datasets"): {
        "whatever the file holds": {"name": "digits", "files": [FILE]},
        "texts with labels, cleaned": {
            "name": "reviews",
            "files": [FILE],
            "columns": {"text": "review", "label": "stars"},
            "cleaning": {"html": "remove", "min_characters": 20},
            "on_fault": "drop",
        },
    },
    ("post", "/v1/datasets/{dataset_id}/augmentations"): {
        "pictures turned and mirrored": {
            "augmentation": {"name": "image", "rotation": 10, "flip": 0.5},
            "count": 3,
        },
    },
    ("post", "/v1/jobs"): {
        "pretrain, all else decided from the data": {"kind": "pretrain", "dataset": DATASET, "name": "digits"},
        "pretrain a code of eight numbers": {
            "kind": "pretrain",
            "dataset": DATASET,
            "name": "digits",
            "encoder": {"name": "auto", "dimensions": 8},
            "objective": {"name": "autoencoding"},
            "training": {"epochs": 20, "seed": 0, "early_stopping": {"patience": 3}},
        },
        "graft labels onto a model": {
            "kind": "finetune",
            "dataset": DATASET,
            "base_model": MODEL,
            "name": "digit-classes",
        },
        "embed a dataset": {"kind": "embed", "model": MODEL, "dataset": DATASET, "format": "parquet"},
        "judge a model on a dataset": {"kind": "evaluate", "model": "digits@default", "dataset": DATASET},
    },
    ("post", "/v1/jobs/{job_id}/checkpoints/{checkpoint_id}/publish"): {
        "under a name of its own": {"name": "digits-early"},
    },
    ("post", "/v1/fine_tuning/jobs"): {
        "as the SDK asks": {
            "model": MODEL,
            "training_file": FILE,
            "suffix": "digit-classes",
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 20}}},
            "seed": 7,
        },
    },
    ("post", "/v1/batches"): {
        "a file of questions": {
            "input_file_id": FILE,
            "endpoint": "/v1/embeddings",
            "completion_window": "24h",
        },
    },
    ("patch", "/v1/models/{model}"): {
        "a description": {"description": "Digits of 8 x 8 pixels.", "metadata": {"owner": "lab"}},
    },
    ("put", "/v1/models/{model}/aliases/{alias}"): {"to the second version": {"version": 2}},
    ("post", "/v1/models/import"): {"an uploaded archive": {"file": FILE, "name": "minilm"}},
    ("post", "/v1/embeddings"): {
        "rows": {"model": MODEL, "input": [ROW, ROW]},
        "texts": {"model": "pages", "input": ["a worker dies", "pictures in a ZIP"], "encoding_format": "base64"},
    },
    ("post", "/v1/reconstructions"): {"a row": {"model": MODEL, "input": ROW}},
    ("post", "/v1/predictions"): {
        "the three likeliest classes": {"model": "digit-classes", "input": ROW, "top_k": 3},
        "what lies where": {"model": "finder", "input": "data:image/png;base64,iVBORw0KGgo=", "threshold": 0.5},
        "among labels in words": {
            "model": "captions",
            "input": "data:image/png;base64,iVBORw0KGgo=",
            "candidate_labels": ["a photo of an oak", "a photo of an elm"],
        },
    },
    ("post", "/v1/translations"): {
        "two texts": {"model": "catalogue", "input": ["Save changes", "Delete %(name)s?"], "beams": 4},
    },
    ("post", "/v1/generations"): {"three items": {"model": MODEL, "n": 3, "seed": 7, "temperature": 0.8}},
    ("post", "/v1/images/generations"): {"three pictures": {"model": MODEL, "prompt": "", "n": 3, "seed": 7}},
    ("post", "/v1/audio/speech"): {"a sentence": {"model": MODEL, "input": "Hello.", "voice": "default"}},
    ("post", "/v2/models/{model}/infer"): INFER,
    ("post", "/v2/models/{model}/versions/{number}/infer"): INFER,
}
"""By method and path: what it does to the body that does it."""


def add(document: dict[str, Any]) -> None:
    """Puts the examples beside the schemas of their bodies."""
    for (method, path), bodies in EXAMPLES.items():
        content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
        content["examples"] = {name: {"value": body} for name, body in bodies.items()}
