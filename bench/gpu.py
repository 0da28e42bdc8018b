"""Trains ten and a hundred replicas of each variant in one pack on a GPU: `python -m bench.gpu`, or `make bench-gpu`.

For each pack, measures how many seconds all epochs with validation take, and how close an epoch comes to its lower
bound: the minimum number of bytes that training moves (bench.floors), divided by the memory bandwidth of the GPU. The
bandwidth is measured in the same run. Writes reports/bench/gpu.json.
"""

import json
import time
from typing import Any

from bench import floors, measure, terminal
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files, paths
from feedforward.data import validation_split
from feedforward.data.splits import Split
from feedforward.experiments import runner

SEEDS = (10, 100)
ARRAY_BYTES = 2**30  # size of the array with which the bandwidth is measured


def main() -> None:
    """Measure, write and print; exit with an error if there is no GPU."""
    options = terminal.parser("gpu", __doc__, "ten replicas, two epochs").parse_args()
    runner.prepare(1)
    device = _device()
    params, bandwidth = load_params(), _bandwidth()
    print(f"{device}: measured memory bandwidth {bandwidth / 1e9:.0f} GB/s", flush=True)
    rows = [
        _measure(params, name, variant, seeds, bandwidth, 2 if options.quick else 0)
        for seeds in (SEEDS[:1] if options.quick else SEEDS)
        for name in params.datasets
        for variant in params.variants
    ]
    machine = measure.machine()
    report = {"device": device, "bandwidth": bandwidth, "machine": machine, "quick": options.quick, "rows": rows}
    atomic_files.write_json(options.json, report)
    print(text(report))


def _device() -> str:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        raise SystemExit(
            "TensorFlow found no GPU; on a machine with one, run: make bench-gpu REQUIREMENTS=gpu VENV=.venv-gpu"
        )
    return str(tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU"))


def _bandwidth() -> float:
    """Bytes read and written per second in a pass over an array larger than any cache: the best of ten passes."""
    import tensorflow as tf

    array = tf.Variable(tf.zeros(ARRAY_BYTES // floors.FLOAT))

    def seconds_of_pass() -> float:
        began = time.perf_counter()
        array.assign_add(tf.ones(()))
        array[0].numpy()  # waits until the GPU is done
        return time.perf_counter() - began

    return 2 * ARRAY_BYTES / min(seconds_of_pass() for _ in range(10))


def _measure(params: Params, name: str, variant: str, seeds: int, bandwidth: float, epochs: int) -> dict[str, Any]:
    from feedforward.training import trainer

    dataset = params.datasets[name]
    train, held_out = validation_split.hold_out(Split.load(paths.vectorized(name) / "train"), dataset)
    epochs = epochs or dataset.training.epochs
    moments = [time.perf_counter()]
    trainer.fit(
        dataset,
        {f"{variant} {k}": params.variants[variant] for k in range(seeds)},
        train,
        held_out,
        0,
        validation_split.generator(0, validation_split.ORDER),
        epochs,
        lambda epoch, loss: moments.append(time.perf_counter()),  # noqa: ARG005
    )
    total = time.perf_counter() - moments[0]
    units = [*dataset.network.sizes[params.variants[variant].size], floors.output_units(dataset)]
    work = floors.epoch_work(train.to_split(), units, dataset.training.batch_size, seeds)
    work += floors.evaluation_work(held_out.to_split(), units, seeds)
    epoch_seconds = (moments[-1] - moments[1]) / max(1, epochs - 1)  # the first epoch traces the graph
    row = {"dataset": name, "variant": variant, "seeds": seeds, "epochs": epochs}
    row |= {"seconds": total, "epoch": epoch_seconds}
    row |= {"bytes": work.bytes, "operations": work.operations, "share": work.bytes / bandwidth / epoch_seconds}
    print(json.dumps(row), flush=True)
    return row


def table(report: dict[str, Any]) -> list[list[str]]:
    """A header and a row for each variant and number of replicas."""
    rows = [
        ["", "replicas", "all epochs, s", "s per replica", "one epoch, s", "GB per epoch", "bandwidth floor / time"]
    ]
    for row in report["rows"]:
        name = f"{row['dataset']} {row['variant']}"
        times = [f"{row['seconds']:.1f}", f"{row['seconds'] / row['seeds']:.2f}", f"{row['epoch']:.3f}"]
        rows.append([name, str(row["seeds"]), *times, f"{row['bytes'] / 1e9:.1f}", f"{row['share']:.0%}"])
    return rows


def text(report: dict[str, Any]) -> str:
    """The table, for a terminal."""
    return terminal.text(report, table(report))


if __name__ == "__main__":
    main()
