"""The layout of an archive, which `writing` and `reading` share."""

DIGESTS = "digests.json"  # {"format": …, "files": {NAME: {"bytes": …, "sha256": …}}} for every other file
FORMAT = 1
MAX_BYTES = 2**29  # for all files together, and for the ZIP file
MAX_FILES = 5000
