"""The tables. All times are unix seconds by the database's clock; all sizes are bytes.

Ids are a prefix and a ULID (26 characters that sort by creation time), so a list is a range of the primary key.
"""

from app.registry.tables.base import Table
from app.registry.tables.datasets import Dataset, DatasetFile
from app.registry.tables.files import File, Link, StoredObject, Upload, UploadPart
from app.registry.tables.jobs import Batch, Checkpoint, Event, Job, JobDataset, Metric
from app.registry.tables.models import Alias, Model, Version
from app.registry.tables.projects import ApiKey, CreateRequest, Project, Revision

__all__ = [
    "Alias",
    "ApiKey",
    "Batch",
    "Checkpoint",
    "CreateRequest",
    "Dataset",
    "DatasetFile",
    "Event",
    "File",
    "Job",
    "JobDataset",
    "Link",
    "Metric",
    "Model",
    "Project",
    "Revision",
    "StoredObject",
    "Table",
    "Upload",
    "UploadPart",
    "Version",
]
