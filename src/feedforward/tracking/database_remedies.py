"""What a user can do about an error of the tracking database, by its reason. MLflow is not imported here."""

import re

# Moving a database away loses all runs, versions and aliases, so only a damaged file calls for that.
REMEDIES = {
    r"disk is full|no space left": "free disk space, then run again",
    r"is locked|lock timeout": "wait until the process that writes to it has ended, then run again",
    # of PostgreSQL
    r"permission denied for|read-only transaction": "let its user create and change tables, then run again",
    r"readonly|read-only|permission denied": "allow writing to the file and its folder, then run again",
    r"unable to open database file": "check the address, and that its folder exists and can be written",
    r"not a database|malformed": "restore a backup, or move it away and run `feedforward train`",
    r"no such table": "check the address; if this is a new database, run `feedforward train`",
    r"can't locate revision": "a newer MLflow has migrated it; install that version, or restore a backup",
    r"no module named": "install this driver (requirements/cluster.txt contains one for PostgreSQL)",
}


def remedy(error: Exception) -> str:
    """What to do about the error, as part of a message.

    >>> import sqlite3
    >>> remedy(sqlite3.OperationalError("database or disk is full"))
    'free disk space, then run again'
    """
    text = str(error)
    matching = (remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, text, re.IGNORECASE))
    return next(matching, "check the address, and that the database answers")
