"""Row 24 of docs/reliability.md: twenty simultaneous promotions in several processes, repeated for many rounds."""

import multiprocessing
import os
import random
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import registered
import small_data
from threads import at_once

from faults.context import SEED, Context, describe, environment
from faults.kills import check_audit_log
from feedforward import tracking
from feedforward.config.schema import Promotion, load_params
from feedforward.core import append_only_log, paths
from feedforward.promotion import promote as gate
from feedforward.tracking import model_versions, settings

VALID_COUNT = 15  # valid versions
# For each invalid version, what its metrics are instead; the last two have valid metrics, but always predict 50 %
INVALID_METRICS: tuple[dict[str, Any], ...] = (
    {"latency_ms": 1e6},
    {"seen_cross_entropy": 1.797e308},
    {"latency_ms": 101.0},
    {},
    {},
)
CRITERIA = Promotion(class_accuracy=0.75, max_bytes=10**6, max_latency=100.0)


def race(context: Context) -> str:
    """Row 24: after each round, the best valid version is champion and the audit log is complete."""
    rounds, rng = context.count(50, 1), random.Random(SEED)
    processes = context.count(4, 2)
    template = context.folder / "promoters" / "template"
    with environment({"FEEDFORWARD_ROOT": str(template)}):
        strengths = _prepare(template)
    best, total = 1 + max(range(VALID_COUNT), key=strengths.__getitem__), VALID_COUNT + len(INVALID_METRICS)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for round_number in range(rounds):
            folder = template.with_name(str(round_number))
            shutil.copytree(template, folder)
            order = rng.sample(range(1, total + 1), total)
            arguments = [(str(folder), order[first::processes]) for first in range(processes)]
            errors = [line for lines in pool.starmap(_promote, arguments, chunksize=1) for line in lines]
            assert not errors, f"round {round_number}: {errors[0]}"
            _check_round(folder, round_number, best, len(order))
            shutil.rmtree(folder)
    return f"{rounds} rounds of {total} promotions: the best valid version won, and every decision was logged"


def _prepare(root: Path) -> list[float]:
    """Register the versions, valid ones first; return the strengths of the valid ones (the strongest is the best)."""
    small_data.write_workspace(root, promotion=CRITERIA.model_dump())
    registered.write_vocabulary()
    params = load_params()
    run = registered.final_run(tracking.open_store(), params)
    from feedforward.tracking.registry import Registry

    registry = Registry()
    strengths = random.Random(SEED).sample([round(0.2 + 0.1 * k, 1) for k in range(VALID_COUNT)], VALID_COUNT)
    for strength in strengths:
        registered.version(registry, run, strength)
    for metrics in INVALID_METRICS:
        registered.version(registry, run, 9.0 if metrics else 0.0, **metrics)
    return strengths


def _promote(root: str, numbers: Sequence[int]) -> list[str]:
    """Try to promote the versions simultaneously, each in its own thread; return the problems."""
    os.environ["FEEDFORWARD_ROOT"] = root
    settings.apply()
    from feedforward.tracking.registry import Registry

    registry, params, name = Registry(), load_params(), registered.NAME
    [run] = registry.find_runs(name, role="final")
    problems: list[str] = []

    def promote(number: int) -> None:
        version = model_versions.find(name, number)
        try:
            assert version is not None, "the version is not registered"
            gate.conclude(params, name, run, version, Registry())
        except gate.Refused:
            if number <= VALID_COUNT:
                problems.append(f"version {number} is valid but was refused")
        except Exception as error:
            traceback.print_exc()
            problems.append(f"version {number}: {describe(error)}")
        else:
            if number > VALID_COUNT:
                problems.append(f"version {number} is invalid but was not refused")

    at_once(promote, numbers)
    return problems


def _check_round(root: Path, round_number: int, best: int, count: int) -> None:
    """Check that version `best` is champion and that the audit log has one line for each of the `count` versions."""
    with environment({"FEEDFORWARD_ROOT": str(root)}):
        champion, lines = model_versions.find(registered.NAME), list(append_only_log.read(paths.audit()))
    assert champion is not None, f"round {round_number}: no champion"
    assert champion.number == best, f"round {round_number}: version {champion.number} instead of {best}"
    versions = sorted(line["version"] for line in lines)
    assert versions == list(range(1, count + 1)), f"round {round_number}: the audit log has versions {versions}"
    last = lines[-1]["champion"]
    assert last == best, f"round {round_number}: the audit log ends with champion {last}"
    check_audit_log(lines)
