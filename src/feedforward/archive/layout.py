"""What writing and reading an archive agree on."""

DIGESTS = "digests.json"  # {"format": …, "files": {NAME: {"bytes": …, "sha256": …}}}: every other file
FORMAT = 1
MAX_BYTES = 2**29  # of all files together, and of the ZIP file
MAX_FILES = 5000
