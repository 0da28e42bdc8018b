"""The functions that `import feedforward` offers to notebooks and scripts. Heavy libraries are loaded on first use."""

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feedforward.config.schema import Params, load_params
from feedforward.core import paths, processes
from feedforward.core.arguments import checked
from feedforward.core.errors import DataError, ParamsError, TrainingError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import numpy.typing as npt

    from feedforward.analysis.claims import Verdict
    from feedforward.analysis.findings import Findings
    from feedforward.analysis.run_result import RunResult
    from feedforward.data.splits import Split
    from feedforward.experiments.plan import Pack

__all__ = [
    "Params",
    "build_network",
    "column_names",
    "compare",
    "fetch",
    "load_params",
    "load_split",
    "predict",
    "prepare",
    "raw_samples",
    "results",
    "split_training",
    "summary_table",
    "test_scores",
    "train",
    "use_workspace",
    "validate",
    "vectorize",
    "verdicts",
    "verdicts_table",
]

Protocol = Literal["fair", "lecture"]
LARGEST_SEED = 2**31 // 1000 - 1  # seeds of layers are 1000 · seed + layer, and TensorFlow's are 32-bit integers


@checked
def use_workspace(folder: Path | str) -> Path:
    """Read and write data, runs and reports in `folder`, which must contain a params.yaml; returns its absolute path.

    Without this call, the nearest folder with a params.yaml is used, searching upward from the working directory.

    Raises:
        ParamsError: the folder contains no params.yaml; the workspace stays the same.
    """
    before = os.environ.get("FEEDFORWARD_ROOT")
    os.environ["FEEDFORWARD_ROOT"] = str(Path(folder).resolve())
    try:
        return paths.root()
    except ParamsError:
        if before is None:
            del os.environ["FEEDFORWARD_ROOT"]
        else:
            os.environ["FEEDFORWARD_ROOT"] = before
        raise


# --- data ------------------------------------------------------------------------------------


@checked
def fetch(params: Params, dataset: str) -> None:
    """Fetch the files of a dataset into `data/raw`; verified files that are already there are kept.

    Raises:
        ParamsError: unknown dataset. SourceError: no source has a file, or none has the right bytes.
    """
    from feedforward.data import preparation

    preparation.fetch(dataset, params.dataset(dataset), params)


@checked
def vectorize(params: Params, dataset: str) -> None:
    """Write the splits, the vocabulary and the profile of a fetched dataset to `data/vectorized`.

    Raises:
        ParamsError: unknown dataset. DataError: the raw files are missing or damaged.
    """
    from feedforward.data import preparation

    preparation.vectorize(dataset, params.dataset(dataset), params.retraining.use_feedback)


@checked
def validate(params: Params, dataset: str) -> None:
    """Check the expectations of a vectorized dataset and write a summary to `reports/validation`.

    Raises:
        ParamsError: unknown dataset. ValidationFailed: an expectation is not met.
    """
    from feedforward.data import preparation

    preparation.validate(dataset, params.dataset(dataset))


@checked
def prepare(params: Params, datasets: Sequence[str] = ()) -> None:
    """Fetch, vectorize and validate the given datasets, by default all."""
    for name in datasets or params.datasets:
        fetch(params, name)
        vectorize(params, name)
        validate(params, name)


@checked
def load_split(dataset: str, part: Literal["train", "test"]) -> "Split":
    """Load a split of a vectorized dataset: `features`, shape (samples, columns), and `labels`, one per sample.

    Raises:
        ParamsError: unknown dataset. DataError: the dataset is not vectorized, or a file differs from what `vectorize`
            wrote.
    """
    from feedforward.data import manifest

    if not paths.vectorized(dataset).is_dir():
        load_params().dataset(dataset)
    return manifest.load_split(dataset, part)


@checked
def split_training(params: Params, dataset: str, seed: int = 0) -> tuple["Split", "Split"]:
    """Divide the training split as a run with this seed does; return copies of the training and validation samples.

    Raises:
        ParamsError: unknown dataset or invalid seed. DataError: the dataset is not vectorized with these parameters, or
            a file differs from what `vectorize` wrote.
    """
    from feedforward.data import manifest, validation_split

    _check_seeds(seed)
    content = manifest.load_current(dataset, params.dataset(dataset))
    split = manifest.load_split(dataset, "train", content)
    training, validation = validation_split.draw(split, params.dataset(dataset), seed)
    return training.to_split(), validation.to_split()


@checked
def raw_samples(params: Params, dataset: str, rows: Sequence[int]) -> list["str | npt.NDArray[np.uint8]"]:
    """Read the raw samples of rows of the vectorized test split, as texts or gray pixels of shape (height, width).

    Raises:
        ParamsError: unknown dataset, or there is no such row. DataError: a raw file is missing or damaged, the dataset
            is not vectorized with these parameters, or it was fetched again since.
    """
    from feedforward.data import consistency, manifest

    content = manifest.load_current(dataset, params.dataset(dataset))
    return consistency.raw_samples(params.dataset(dataset), paths.raw(dataset), content, rows)


@checked
def column_names(params: Params, dataset: str) -> Callable[[int], str]:
    """Return a function that maps the index of a feature column to its name, such as a word.

    Raises:
        ParamsError: unknown dataset; or, from the returned function, there is no such column. DataError: the dataset is
            not vectorized with these parameters.
    """
    from feedforward.data import manifest
    from feedforward.data.readers import reading

    features = manifest.load_current(dataset, params.dataset(dataset))["features"]
    names = reading.column_names(params.dataset(dataset).reader, paths.vectorized(dataset))

    def name(column: int) -> str:
        if not 0 <= column < features:
            raise ParamsError([f"column {column}: must be from 0 to {features - 1}"])
        return names(column)

    return name


# --- training --------------------------------------------------------------------------------


@checked
def build_network(params: Params, dataset: str, variant: str, features: int, seed: int = 0) -> "keras.Model":
    """Build the Keras model of a variant, with `features` inputs and initial weights drawn from `seed`.

    Raises:
        ParamsError: unknown dataset or variant, or invalid seed.
    """
    from feedforward.experiments import runner

    _check_seeds(seed)
    runner.prepare(jobs=1)
    from feedforward.training import network

    return network.build(params.dataset(dataset), params.variant(variant), features, seed)


@checked
def train(
    params: Params,
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    protocol: Protocol = "fair",
) -> list["RunResult"]:
    """Train and log to MLflow in this process. An empty sequence means all; finished runs are not repeated.

    If losses are not finite, the other runs are trained before the error is raised.

    Raises:
        ParamsError: an unknown name or an invalid seed. DataError: a dataset is not vectorized, or has not passed
            validation. TrainingError: a loss is not finite. Busy: another process is training in this workspace.
    """
    from feedforward.data import consistency
    from feedforward.experiments import plan
    from feedforward.tracking import names

    seeds = [*dict.fromkeys(map(operator.index, seeds))]  # they may be NumPy's integers
    _check_seeds(*seeds)
    packs = plan.plan(params, protocol, datasets, variants, seeds)
    for name in {pack.dataset for pack in packs}:
        consistency.require_valid(name, params.datasets[name])
    with names.fixed(params.project):  # params.yaml may be edited meanwhile, or name another project than `params`
        return _train(packs, params)


def _train(packs: Sequence["Pack"], params: Params) -> list["RunResult"]:
    from feedforward import tracking
    from feedforward.experiments import parent_runs, reuse, runner

    store = tracking.open_store()
    run_results = reuse.find_finished(packs, store)
    if all(run_results.keys() >= {*pack.fingerprints} for pack in packs):
        return parent_runs.results_of(packs, run_results)  # even while another process is training
    failures: list[TrainingError | DataError] = []
    with processes.only_one(paths.lock("training"), "ff.train"), store.closing_when_interrupted():
        run_results = reuse.find_finished(packs, store)
        missing = [remaining for pack in packs if (remaining := pack.without(run_results)).members]
        if missing:
            runner.prepare(jobs=1)
        for pack in missing:
            try:
                run_results |= dict(zip(pack.fingerprints, runner.train_pack(pack, params, store), strict=True))
            except (TrainingError, DataError) as error:
                failures.append(error)
                if isinstance(error, DataError):  # data or code have changed, which concerns the other packs, too
                    break
        if failures:  # other runs of these packs may have finished
            run_results = reuse.find_finished(packs, store)
        parent_runs.conclude(packs, run_results, params, store)
    if failures:
        raise failures[0] if len(failures) == 1 else TrainingError("; ".join(dict.fromkeys(map(str, failures))))
    return parent_runs.results_of(packs, run_results)


def _check_seeds(*seeds: int) -> None:
    if wrong := [seed for seed in seeds if not 0 <= seed <= LARGEST_SEED]:
        raise ParamsError([f"seed {wrong[0]}: must be from 0 to {LARGEST_SEED}"])


@checked
def results(protocol: Protocol = "fair") -> list["RunResult"]:
    """Load the results of the last `dvc repro` or `feedforward run`.

    Raises:
        DataError: there are none yet.
    """
    from feedforward.analysis import run_result

    path = paths.trained(protocol)
    if not path.is_file() and protocol not in (trained := load_params().protocols):
        raise DataError(
            f"{path}: is missing, because `protocols` in params.yaml is [{', '.join(trained)}]; add {protocol}, then"
            " run `feedforward run`"
        )
    return run_result.load(path)


# --- comparison ------------------------------------------------------------------------------


@checked
def compare(results: Iterable["RunResult"], params: Params, protocol: Protocol = "fair") -> list["Findings"]:
    """Compute, for each dataset, means with intervals, paired differences, verdicts and, if there are any, baselines.

    Baselines that were measured on other data or splits are left out; a warning names the dataset.

    Raises:
        DataError: there are no runs of the protocol, `params` lacks the dataset or variant of a run, a number is not
            finite, or runs differ in the numbers of samples or epochs.
    """
    from feedforward.analysis import findings
    from feedforward.experiments import baseline_results

    results = list(results)
    return findings.find(results, params, protocol, baseline_results.load(results, params, protocol))


@checked
def verdicts(findings: Iterable["Findings"]) -> list["Verdict"]:
    """The claims of params.yaml, judged across seeds; `outcome` is one of `analysis.claims.OUTCOMES`."""
    return [verdict for dataset in findings for verdict in dataset.verdicts]


@checked
def verdicts_table(findings: Iterable["Findings"]) -> str:
    """The verdicts as a Markdown table."""
    from feedforward.reports import tables

    return tables.verdicts_markdown(findings)


@checked
def summary_table(findings: "Findings") -> str:
    """The means of a dataset's variants with their intervals, as a Markdown table."""
    from feedforward.reports import tables

    summary = {variant: findings.summary[variant] for variant in findings.variants}
    return tables.markdown(*tables.cells(summary, tables.REPLICA))


@checked
def test_scores(findings: "Findings") -> str:
    """The final model's scores on the test split as Markdown, one per line.

    Raises:
        DataError: no run of the final model is among the results.
    """
    from feedforward.analysis.statistics import STATISTICS
    from feedforward.reports import tables

    estimates = findings.summary.get(findings.baseline, {})
    names = [name for name in tables.FINAL if name in estimates]
    if not names:
        raise DataError(
            f"{findings.name}: no final run is among the results; add {findings.baseline}, the variant of the final"
            " model, to the variants that `ff.train` trains"
        )
    return "  \n".join(
        f"{tables.SHORT_LABELS[name]}: {tables.interval(estimates[name], STATISTICS[name].decimals)}" for name in names
    )


# --- prediction ------------------------------------------------------------------------------


@checked
def predict(dataset: str, samples: Sequence[Any], variant: str | None = None) -> list[dict[str, Any]]:
    """Predict with the champion, or with the given variant; return one prediction per sample.

    samples: texts, rows as dictionaries, or gray images as uint8 arrays of shape (height, width). A prediction has the
    keys `label`, `probability` and `probabilities` for one label, `labels` and `probabilities` for several, or `value`.

    Raises:
        NothingToServe: there is no champion, or it does not fit params.yaml. ParamsError: unknown dataset or variant.
        InputError: a sample is invalid. DataError: the version was changed.
    """
    from feedforward.serving import prediction, sample_files

    champion = prediction.champion(dataset, dataset=load_params().dataset(dataset))
    model = champion.select_one(variant)
    numbered = ((f"sample {number}", sample) for number, sample in enumerate(samples, start=1))
    return [
        answer
        for _, checked in sample_files.in_chunks(champion.served, numbered)
        for answer in prediction.answers(model, checked)
    ]
