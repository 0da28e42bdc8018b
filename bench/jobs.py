"""Measures parts of the pipeline, each in a separate process: `python -m bench.jobs PART ARGUMENTS…` prints JSON.

`bench.parts.job` starts these processes. PART is the name of a function, which returns plain values, such as seconds
and bytes. The arguments are strings, because they come from the command line.
"""

import itertools
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import floors, measure
from feedforward.config.schema import Dataset, load_params
from feedforward.core import atomic_files, paths, processes
from feedforward.data import preparation, validation_split
from feedforward.data.splits import MultiHot, Split, Subset
from feedforward.experiments import runner


@contextmanager
def _workspace() -> Iterator[Path]:
    """Set FEEDFORWARD_ROOT to a temporary folder with this checkout's params.yaml and links to its data; yield it."""
    root = paths.root()
    with tempfile.TemporaryDirectory(prefix="feedforward-bench-") as name:
        folder = Path(name)
        shutil.copy2(root / "params.yaml", folder)
        for data in ("raw", "vectorized"):
            (folder / "data" / data).mkdir(parents=True)
            for source in sorted((root / "data" / data).iterdir()):
                (folder / "data" / data / source.name).symlink_to(source)
        os.environ["FEEDFORWARD_ROOT"] = str(folder)
        yield folder


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- data ----------------------------------------------------------------------------------------


def vectorize(name: str, times: str = "1") -> dict[str, Any]:
    """Vectorize a dataset with its texts repeated `times` times.

    bytes: size of raw samples plus output. peak, before: peak memory in bytes, at the end and before vectorizing.
    """
    with _workspace() as folder:
        params = load_params()
        if int(times) > 1:
            spawn = multiprocessing.get_context("spawn")  # a separate process, because this one's peak is measured
            writer = spawn.Process(target=_repeat_texts, args=(folder, name, params.datasets[name], int(times)))
            writer.start()
            writer.join()
        (folder / "data" / "vectorized" / name).unlink()
        peak_before = measure.own_peak()
        seconds = _seconds(lambda: preparation.vectorize(name, params.datasets[name]))
        target = paths.vectorized(name)
        samples = atomic_files.read_json(target / "manifest.json")["samples"]
        size = _raw_bytes(target) + _size(target)
        memory = {"peak": measure.own_peak(), "before": peak_before}
        return memory | {"seconds": seconds, "bytes": size, "samples": samples, "digest": _digest(target)}


def vectorize_on_cluster(name: str, times: str, workers: str) -> dict[str, Any]:
    """Vectorize texts, repeated `times` times, on a Dask cluster of processes.

    peaks: peak memory of each process in bytes. seconds: time to write the shards and vectorize, excluding cluster
    startup.
    """
    from pipelines import dask_text, environment

    environment.apply()
    with _workspace() as folder, _cluster(folder, int(workers)) as (address, members):
        params = load_params().model_copy(update={"engine": address})
        spawn = multiprocessing.get_context("spawn")
        writer = spawn.Process(target=_repeat_texts, args=(folder, name, params.datasets[name], int(times)))
        writer.start()
        writer.join()
        (folder / "data" / "vectorized" / name).unlink()

        def vectorize_texts() -> None:
            with dask_text.reader(name, params.datasets[name], params) as read:
                preparation.vectorize(name, params.datasets[name], read=read)

        seconds = _seconds(vectorize_texts)
        peaks = {"client": measure.own_peak()} | {key: measure.peak_of(process.pid) for key, process in members.items()}
        shards = folder / "data" / "shards"
        count = len(list(shards.rglob("*.parquet")))
        digest = _digest(paths.vectorized(name))
        return {"seconds": seconds, "peaks": peaks, "shards": count, "shard_bytes": _size(shards), "digest": digest}


@contextmanager
def _cluster(folder: Path, workers: int) -> Iterator[tuple[str, dict[str, "subprocess.Popen[bytes]"]]]:
    """Start a scheduler and single-threaded workers as processes; yield the address, and the processes by name."""
    from pipelines import dask_text

    address_file = folder / "scheduler.json"
    commands = {"scheduler": ["dask_scheduler", "--host", "127.0.0.1", "--port", "0"]}
    commands |= {f"worker {k}": ["dask_worker", "--nthreads", "1", "--no-nanny"] for k in range(1, workers + 1)}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (module, *options) in commands.items():
            options += ["--scheduler-file", str(address_file)]
            command = [sys.executable, "-m", f"distributed.cli.{module}", *options]
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    [*command, "--no-dashboard"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
                )
            while not address_file.is_file():
                if processes[name].poll() is not None:
                    raise SystemExit((folder / f"{name}.log").read_text()[-2000:])
                time.sleep(0.1)
        address = atomic_files.read_json(address_file)["address"]
        with dask_text.client(address) as client:
            client.wait_for_workers(workers)
        yield address, processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _digest(folder: Path) -> str:
    """Digest of the names and contents of all files in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return atomic_files.digest({str(path.relative_to(folder)): atomic_files.file_digest(path) for path in files})


def _raw_bytes(folder: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.sum(pq.read_table(folder / "profile.parquet", columns=["raw_length"])["raw_length"]).as_py())


def _repeat_texts(folder: Path, name: str, dataset: Dataset, times: int) -> None:
    """Rewrite the dataset's raw file with every text repeated `times` times, under different names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = folder / "data" / "raw" / name
    source = pq.ParquetFile(next(raw.resolve().glob("*.parquet")))
    raw.unlink()
    raw.mkdir()
    with pq.ParquetWriter(raw / f"{next(iter(dataset.files))}.parquet", source.schema_arrow, compression="zstd") as out:
        for number in range(times):
            for group in range(source.num_row_groups):
                table = source.read_row_group(group)
                parts = [path.rpartition("/") for path in table["path"].to_pylist()]
                named = pa.array([f"{parent}/{number}_{file}" for parent, _, file in parts])
                out.write_table(table.set_column(0, "path", named))


def validate(name: str) -> dict[str, Any]:
    """Validate a dataset. import: seconds for importing Great Expectations. seconds: seconds for validating."""
    with _workspace() as folder:
        params = load_params()

        def import_validator() -> None:
            from feedforward.data.validation import validator  # noqa: F401

        imported = _seconds(import_validator)
        seconds = _seconds(lambda: preparation.validate(name, params.datasets[name]))
        size = (folder / "data" / "vectorized" / name / "profile.parquet").stat().st_size
        return {"seconds": seconds, "import": imported, "peak": measure.own_peak(), "bytes": size}


# --- training ------------------------------------------------------------------------------------


def epoch(
    name: str, variant: str, seeds: str, epochs: str, cores: str = "1", times: str = "1", disabled: str = ""
) -> dict[str, Any]:
    """Train epochs with `seeds` packed replicas on `cores` cores, and evaluate the validation split.

    Keys of the result. train, evaluation: median seconds per epoch and per evaluation, excluding the first of each,
    which traces the graph (unless it is the only one). whole: seconds of all epochs with validation, including building
    the networks and tracing. train_work, evaluation_work: the minimum work of an epoch and of an evaluation. peak: peak
    memory in bytes. samples: number of training samples.

    disabled: name of an optimization to switch off (see bench.tricks).
    """
    runner.prepare(max(1, processes.cores() // int(cores)))
    from bench import tricks
    from feedforward.training import trainer
    from feedforward.training.packed_model import PackedModel

    if disabled:
        tricks.SWITCHES[disabled]()

    with _workspace():
        params = load_params()
        dataset = params.datasets[name]
        units = [*dataset.network.sizes[params.variants[variant].size], floors.output_units(dataset)]
        train, held_out = validation_split.hold_out(
            _load(name, int(times)), _with_larger_validation(dataset, int(times))
        )
        variants = {f"{variant} {k}": params.variants[variant] for k in range(int(seeds))}

        def fit(validation: Subset | None) -> tuple[list[float], list[trainer.Replica]]:
            timestamps = [time.perf_counter()]
            replicas = trainer.fit(
                dataset,
                variants,
                train,
                validation,
                0,
                validation_split.generator(0, validation_split.ORDER),
                int(epochs),
                lambda number, loss: timestamps.append(time.perf_counter()),  # noqa: ARG005
            )
            return [after - before for before, after in itertools.pairwise(timestamps)], replicas

        total = _seconds(lambda: fit(held_out))
        epoch_seconds, replicas = fit(None)
        models = [replica.model for replica in replicas]
        pack = PackedModel(models, 0, isinstance(held_out.split.features, MultiHot))
        evaluation = trainer.Evaluation(pack, held_out)
        evaluations = [_seconds(lambda: evaluation.figures("")) for _ in range(int(epochs))]
    after_first = slice(1, None) if int(epochs) > 1 else slice(None)
    batch = dataset.training.batch_size
    return {
        "train": statistics.median(epoch_seconds[after_first]),
        "evaluation": statistics.median(evaluations[after_first]),
        "whole": total,
        "peak": measure.own_peak(),
        "samples": len(train),
        "train_work": asdict(floors.epoch_work(train.to_split(), units, batch, int(seeds))),
        "evaluation_work": asdict(floors.evaluation_work(held_out.to_split(), units, int(seeds))),
    }


def _load(name: str, times: int) -> Split:
    """The training split, repeated `times` times, as memory-mapped files."""
    source = paths.vectorized(name) / "train"
    if times == 1:
        return Split.load(source)
    folder = paths.root() / "repeated"
    writer = multiprocessing.get_context("spawn").Process(target=_repeat_split, args=(source, folder, times))
    writer.start()  # a separate process, so that its memory is not counted as that of training
    writer.join()
    return Split.load(folder)


def _repeat_split(source: Path, folder: Path, times: int) -> None:
    import numpy as np

    split = Split.load(source)
    split.take(np.tile(np.arange(len(split)), times)).save(folder)


def _with_larger_validation(dataset: Dataset, times: int) -> Dataset:
    validation = dataset.training.validation
    larger = validation.model_copy(update={"samples": validation.samples * times})
    return dataset.model_copy(update={"training": dataset.training.model_copy(update={"validation": larger})})


# --- tracking ------------------------------------------------------------------------------------


def log(name: str, variant: str, runs: str) -> dict[str, Any]:
    """Log runs with curves, a plot and a model, as training does.

    seconds: mean over the runs, including the first. first: seconds of the first run. open: seconds to open the store.
    bytes: size of the artifacts of a run.
    """
    runner.prepare(processes.cores())
    from feedforward.analysis.run_result import RunResult
    from feedforward.experiments import run_contents
    from feedforward.models import network_files
    from feedforward.tracking import RunTags, open_store
    from feedforward.training import network, trainer
    from feedforward.training.packed_model import weights_digest

    with _workspace() as folder:
        params = load_params()
        dataset = params.datasets[name]
        open_seconds = _seconds(open_store)
        store = open_store()
        columns = Split.load(paths.vectorized(name) / "train").features.shape[1]
        names = ("loss", "accuracy", "cross_entropy", "val_loss", "val_accuracy", "val_cross_entropy")
        curves = {curve: [0.5 / (index + 1) for index in range(dataset.training.epochs)] for curve in names}

        def log_run(seed: int) -> None:
            model = models[seed]
            parent = store.start(RunTags(name, variant, "fair", "variant", "0", "0"), variant, resume=True)
            run = store.start(
                RunTags(name, variant, "fair", "replica", f"{seed}", "0", seed), f"{variant} {seed}", parent
            )
            result = RunResult(
                name, variant, seed, "fair", "replica", curves, {"best_epoch": 1.0}, weights_digest(model)
            )
            store.finish(
                run,
                result=result,
                params={"seed": seed},
                files=run_contents.pictures([result], dataset),
                model=model,
                network=network_files.to_files(trainer.as_arrays(model)),
            )

        models = [network.build(dataset, params.variants[variant], columns, seed) for seed in range(int(runs))]
        seconds = [_seconds(lambda seed=seed: log_run(seed)) for seed in range(int(runs))]
        artifact_bytes = _size(folder / "mlruns" / "artifacts") // len(seconds)
    return {"seconds": statistics.fmean(seconds), "first": seconds[0], "open": open_seconds, "bytes": artifact_bytes}


PARTS = {function.__name__: function for function in (vectorize, vectorize_on_cluster, validate, epoch, log)}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
