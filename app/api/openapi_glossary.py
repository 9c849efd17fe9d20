"""Words that mean the same wherever the API has them: said once, and put where a field or parameter says no more.

Knows no route. A test walks the document and finds whatever is still without a word.
"""

from typing import Any

FIELDS = {
    "id": "What it is called by in routes, lists and other objects; the beginning tells the kind of thing.",
    "object": "The kind of thing this is: the same in every answer of this shape.",
    "data": "The entries, in order.",
    "first_id": "Of the first entry.",
    "last_id": "Of the last entry: what `after` of the next page should be.",
    "has_more": "Whether another page follows.",
    "model": "`name:version` of a model.",
    "version": "Number of a version, from 1.",
    "abilities": "What can be asked of it: `embed`, `reconstruct`, `predict` …",
    "dimensions": "Width of its embeddings; null where it has none.",
    "modality": "What goes in: vectors, image, text or audio.",
    "metrics": "Numbers by name; those of a published model with their baselines on the same rows.",
    "parameters": "Numbers that training moved or drew.",
    "error": "What went wrong, as in a refusal; null where nothing did.",
    "size_bytes": "In bytes, of all that belongs to it.",
    "job": "Id of a job.",
    "dataset": "Id of a dataset.",
    "purpose": "What a file is for: any may become a dataset, and one with `batch` a batch.",
    "filename": "As it came with the upload; its ending decides between prose and tables only.",
    "mime_type": "As it was given; the content decides what the file is.",
    "created_at": "Unix time in seconds at which it was made.",
    "created": "Unix time in seconds at which it was made.",
    "started_at": "Unix time in seconds at which a worker first took it up; null before.",
    "finished_at": "Unix time in seconds at which it ended; null before.",
    "ready_at": "Unix time in seconds at which it could be used; null before.",
    "in_progress_at": "Unix time in seconds at which its answering began; null before.",
    "completed_at": "Unix time in seconds at which all was answered; null before.",
    "failed_at": "Unix time in seconds at which it failed; null otherwise.",
    "cancelling_at": "Unix time in seconds at which its end was asked for; null otherwise.",
    "cancelled_at": "Unix time in seconds at which it was cancelled; null otherwise.",
    "metadata": "Up to 16 pairs of strings, kept and returned.",
    "deleted": "Always true.",
    "seed": "Whole number that all random choices follow from.",
    "step": "Optimizer steps since the beginning.",
    "epoch": "Passes over the training rows, with fractions.",
    "split": "`train`, `validation` or `test`.",
    "level": "`info`, `warn` or `error`.",
    "message": "What happened, in words for people.",
    "status": "In what state it is.",
}
"""Of objects."""

PARAMETERS = {
    "file_id": "Id of a file, `file-…`.",
    "upload_id": "Id of an upload, `upload_…`.",
    "dataset_id": "Id of a dataset, `ds-…`.",
    "job_id": "Id of a job, `job-…`; behind `/v1/fine_tuning` also `ftjob-…`.",
    "checkpoint_id": "Id of a checkpoint of the job, `ckpt-…`.",
    "batch_id": "Id of a batch, `batch_…`.",
    "model": "`name`, `name:version` or `name@alias`.",
    "reference": "`name`, `name:version` or `name@alias`.",
    "alias": "Name of the alias, behind the `@`.",
    "number": "Number of a version, from 1.",
    "limit": "Most entries in the answer.",
    "order": "`asc` for the oldest first, `desc` for the newest.",
    "split": "Of which split: `train`, `validation` or `test`.",
    "status": "Only those in this state.",
    "kind": "Only jobs of this kind: `ingest`, `pretrain`, `finetune`, `evaluate`, `embed` …",
    "name": "Only the curve of this name.",
    "purpose": "Only files for this purpose.",
    "file": "The file itself; several fields of this name are several files.",
    "input": "One item or several, as files or texts.",
}
"""Of paths, queries and forms."""


def describe(document: dict[str, Any]) -> None:
    """Adds the words to an OpenAPI document; what has a description keeps it."""
    for schema in document["components"]["schemas"].values():
        _fill(schema.get("properties", {}), FIELDS)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("description", operation.get("summary", ""))
            _fill({each["name"]: each for each in operation.get("parameters", ())}, PARAMETERS)
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _fill(content["schema"].get("properties", {}), PARAMETERS)


def _fill(described: dict[str, Any], words: dict[str, str]) -> None:
    for name, each in described.items():
        if name in words and not each.get("description"):
            each["description"] = words[name]
