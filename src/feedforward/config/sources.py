"""`datasets.*.files`: the sources of a dataset."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from feedforward.config.fields import Bytes, Distinct, Location, Positive, Sha256, Strict
from feedforward.core import atomic_files

DIGESTS = "digests.json"  # next to the raw files: SHA-256 of each file's content, as first fetched
MULTI_FILE_ARCHIVES = ("tar", "folder")  # kinds of archive that contain several files


class SourceFile(Strict):
    """One file to fetch. Any source may provide it, because `sha256` identifies its content.

    archive:
        gzip: the content is the unpacked file.
        tar: the content is all regular files directly in `folders` whose names end with `suffix` (or one of several
            suffixes); its digest is computed over one line `NAME NUL HEX LF` per file, sorted by the order of
            `folders` and, within each folder, by file name.
        folder: like `tar`, but from a folder on a disk or in S3.
        none: the content is the file itself.
    """

    urls: tuple[Location, ...] = ()  # addresses or paths of the file, tried in order
    archive: Literal["none", "gzip", "tar", "folder"] = "none"  # `none`, `gzip`, `tar` or `folder`: how it is packed
    sha256: Sha256 | None = None  # SHA-256 of the content; null: the digest of the first download
    max_bytes: Bytes = 2**30  # maximum size of the unpacked content, in bytes
    folders: Annotated[Distinct[str], Field(validate_default=True)] = ()  # folders to read in a tar archive or folder
    suffix: str | tuple[str, ...] = ""  # suffix, or list of suffixes, of the files to read in `folders`
    file_count: Positive | None = None  # expected number of files with `suffix`; null: at least 1

    @field_validator("folders")
    @classmethod
    def _check_folders(cls, folders: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "archive" in info.data and (info.data["archive"] in MULTI_FILE_ARCHIVES) != bool(folders):
            raise ValueError("is required with `archive: tar` or `folder`, and not allowed otherwise")
        return folders

    @field_validator("suffix", "file_count")
    @classmethod
    def _check_archive(cls, value: object, info: ValidationInfo) -> object:
        if value and info.data.get("archive", "tar") not in MULTI_FILE_ARCHIVES:
            raise ValueError("is allowed only with `archive: tar` or `folder`")
        return value

    def stored_as(self, key: str) -> str:
        """Name of the verified content in the folder of raw files; `key` is the name of this entry in `files`.

        >>> SourceFile(archive="gzip").stored_as("labels-idx1-ubyte.gz")
        'labels-idx1-ubyte'
        """
        return {"gzip": key.removesuffix(".gz"), "none": key}.get(self.archive, f"{key}.parquet")


def check_stored_names(files: dict[str, SourceFile]) -> dict[str, SourceFile]:
    """Check that the files are stored under distinct names, none of them reserved.

    Raises:
        ValueError: two files would be stored under the same name, or a file under a reserved name.
    """
    owners = {DIGESTS: "feedforward itself"}
    for key, file in files.items():
        name = file.stored_as(key)
        if name in owners or name.endswith(atomic_files.TEMPORARY_SUFFIX):
            raise ValueError(
                f"the content of {key} would be stored as {name}, which belongs to"
                f" {owners.get(name, 'files that are being written')}; give it another key"
            )
        owners[name] = key
    return files
