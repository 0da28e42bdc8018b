"""A dataset's description in Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

The archive does not contain the raw files. The description covers them as they are stored in data/raw, unpacked: with
the SHA-256 of their content and the URLs from which they were downloaded.
"""

from collections.abc import Collection, Mapping
from typing import Any

from feedforward.config.readers import IdxReader, TableReader
from feedforward.config.schema import Dataset, SourceFile
from feedforward.config.sources import MULTI_FILE_ARCHIVES
from feedforward.core import atomic_files, paths
from feedforward.core.redaction import redact

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
PARQUET = "application/x-parquet"  # the name that Croissant uses
FORMATS = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/jsonlines",
    ".parquet": PARQUET,
}
FOLDER_COLUMNS = {"path": "sc:Text", "content": "sc:Text"}  # of the Parquet file with all files of an archive or folder


def describe(name: str, dataset: Dataset, manifest: Mapping[str, Any], published: str) -> dict[str, Any]:
    """The description, serializable as JSON. manifest: of the vectorized data. published: an ISO 8601 date."""
    samples = manifest["samples"]
    text = (
        f"{dataset.title}: {samples['train']} training and {samples['test']} test samples with {manifest['features']}"
        f" features each, task {dataset.task}. SHA-256 of features and labels: {manifest['data_digest']}."
    )
    files = [entry for key, file in dataset.files.items() if (entry := _file(name, key, file))]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "alternateName": dataset.title,
        "conformsTo": CONFORMS_TO,
        "description": text,
        "datePublished": published,
        "version": "1.0.0",
        "distribution": files,
        "recordSet": [_labels(dataset), *_records(dataset, {file["name"] for file in files})],
    }


def _file(name: str, key: str, file: SourceFile) -> dict[str, Any]:
    """The description of a file in data/raw; empty if the digest of its content is unknown."""
    stored = file.stored_as(key)
    path = paths.raw(name) / stored
    known = None if file.archive in MULTI_FILE_ARCHIVES else file.sha256
    digest = atomic_files.file_digest(path) if path.is_file() else known
    if digest is None:
        return {}
    suffix = next((suffix for suffix in FORMATS if stored.endswith(suffix)), "")
    addresses = [url for url in file.urls if url.startswith(("http://", "https://", "s3://"))]
    return {
        "@type": "cr:FileObject",
        "@id": stored,
        "name": stored,
        "contentUrl": stored,
        "encodingFormat": FORMATS.get(suffix, "application/octet-stream"),
        "sha256": digest,
        **({"sameAs": [redact(url) for url in addresses]} if addresses else {}),
    }


def _labels(dataset: Dataset) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "The labels, in the order of the network's outputs.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "labels/name"},
        "field": [{"@type": "cr:Field", "@id": "labels/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"labels/name": label} for label in dataset.labels],
    }


def _records(dataset: Dataset, files: Collection[str]) -> list[dict[str, Any]]:
    """One record set with the columns that are read; empty for idx files, or if their file is not among `files`."""
    reader = dataset.reader
    if isinstance(reader, IdxReader):
        return []
    file = dataset.files[reader.file]
    stored = file.stored_as(reader.file)
    if stored not in files:
        return []
    if file.archive in MULTI_FILE_ARCHIVES:
        columns = FOLDER_COLUMNS
    elif isinstance(reader, TableReader):
        numbers = dict.fromkeys(reader.numeric, "sc:Float")
        columns = numbers | dict.fromkeys([*reader.categorical, *reader.target], "sc:Text")
    else:
        columns = {str(name): "sc:Text" for name in (getattr(reader, "text", ""), getattr(reader, "label", "")) if name}
    fields = [_field(stored, column, kind) for column, kind in columns.items()]
    return [{"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}] if fields else []


def _field(stored: str, column: str, kind: str) -> dict[str, Any]:
    source = {"fileObject": {"@id": stored}, "extract": {"column": column}}
    return {"@type": "cr:Field", "@id": f"samples/{column}", "name": column, "dataType": kind, "source": source}
