"""Renamed keys of params.yaml: an old name is rejected with a message that gives the new name."""

from typing import Any

# Dotted path of the old key (* stands for any key) → new key
RENAMED_KEYS = {
    "promotion.witnesses": "holdout_models",
    "promotion.explained": "minimum_r2",
    "serving.max_incoming_bytes": "max_feedback_bytes",
    "retraining.collect": "use_feedback",
    "retraining.minimum_new": "minimum_new_samples",
    "retraining.drift.chance": "false_alarm_rate",
    "datasets.*.sample": "demo",
    "datasets.*.files.*.members": "file_count",
    "datasets.*.expectations.ones": "nonzero_features",
}
# Dotted path of a removed key → why it is not needed, and what to do
REMOVED_KEYS = {"data_order_seed": "each seed draws its own order of the batches; delete the line"}
# Dotted path of the key → {old value: new value}
RENAMED_VALUES = {"datasets.*.reader.kind": {"labelled_text": "labeled_text"}}


def rename(values: Any) -> tuple[Any, list[str]]:
    """The values of params.yaml with the new names, and one line for each renamed or removed key and renamed value.

    >>> rename({"promotion": {"witnesses": 3}})
    ({'promotion': {'holdout_models': 3}}, ['promotion.witnesses: was renamed; write promotion.holdout_models'])
    """
    problems: list[str] = []
    return _rename(values, (), (), problems), problems


def _rename(value: Any, path: tuple[str, ...], pattern: tuple[str, ...], problems: list[str]) -> Any:
    """path: the path of `value` in the file. pattern: the same path, with * for keys that the user chooses."""
    if not isinstance(value, dict):
        new_value = RENAMED_VALUES.get(".".join(pattern), {}).get(value) if isinstance(value, str) else None
        if new_value is not None:
            problems.append(f"{'.'.join(path)}: `{value}` was renamed; write `{new_value}`")
        return value if new_value is None else new_value
    renamed = {}
    for key, item in value.items():
        part = "*" if pattern in (("datasets",), ("datasets", "*", "files")) else str(key)
        if reason := REMOVED_KEYS.get(".".join((*pattern, part))):
            problems.append(f"{'.'.join((*path, key))}: was removed: {reason}")
            continue
        new_key = RENAMED_KEYS.get(".".join((*pattern, part)))
        if new_key:
            problems.append(f"{'.'.join((*path, key))}: was renamed; write {'.'.join((*path, new_key))}")
        renamed[new_key or key] = _rename(item, (*path, str(key)), (*pattern, part), problems)
    return renamed
