"""The stages of dvc.yaml: `python -m pipelines.stages STAGE [ARGUMENT]`."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from feedforward.config.schema import Params, load_params
from feedforward.core import paths, processes
from feedforward.core.errors import ParamsError, ValidationFailed, run_reporting_errors
from feedforward.data import preparation
from feedforward.experiments import runner
from pipelines import dask_text, dvc_links, environment, interruption, locks, prefect_server, stage_inputs


def fetch(params: Params, name: str) -> None:
    """Sources → verified raw files; labeled samples from users → the snapshot that vectorize reads."""
    preparation.fetch(name, params.dataset(name), params)


def vectorize(params: Params, name: str) -> None:
    """Raw files and the snapshot → splits, vocabulary, profile, manifest."""
    with dask_text.reader(name, params.dataset(name), params) as read:
        preparation.vectorize(name, params.dataset(name), params.retraining.use_feedback, read)


def validate(params: Params, _: str) -> None:
    """Profiles → summaries; fails if a dataset does not meet an expectation, with one message about all datasets."""
    with contextlib.suppress(FileNotFoundError):  # DVC keeps this output, because it persists
        shutil.rmtree(paths.validation("any").parent)
    failures = []
    for name, dataset in params.datasets.items():
        try:
            preparation.validate(name, dataset)
        except ValidationFailed as error:
            failures.append(str(error))
    if failures:
        raise ValidationFailed("\n".join(failures))


def train(params: Params, protocol: str) -> None:
    """Splits → results of all runs of a protocol, in one Prefect flow."""
    with locks.training(f"train {protocol}"), prefect_server.serving() as wait_for_server:
        with processes.importing():
            from pipelines import training_flow

        training_flow.stage(params, protocol, wait_for_server)


def baselines(params: Params, name: str) -> None:
    """Splits → results of simple models on the same splits."""
    from feedforward.experiments import baselines as simple_models  # scikit-learn takes a second to import

    simple_models.stage(params, name)


def compare(params: Params, _: str) -> None:
    """Results → tables, figures, metrics, report."""
    runner.compare(params)


STAGES: dict[str, Callable[[Params, str], None]] = {
    "fetch": fetch,
    "vectorize": vectorize,
    "validate": validate,
    "train": train,
    "baselines": baselines,
    "compare": compare,
}


def remove_leftovers(params: Params) -> None:
    """Delete outputs of datasets and protocols that are no longer in params.yaml, if a stage reads the whole folder.

    DVC would record them as inputs, so another checkout, which does not get them, would train again. They are still in
    DVC's cache. Raw files are kept, because fetching them is slow; so are folders that `vectorize` did not write.
    """
    for manifest in paths.vectorized("any").parent.glob("[!.]*/manifest.json"):
        if manifest.parent.name not in params.datasets:
            shutil.rmtree(manifest.parent)
    for folder, names in ((paths.baselines("any"), params.datasets), (paths.trained("any"), params.protocols)):
        for path in folder.parent.glob("[!.]*.json"):
            if path.stem not in names:
                path.unlink()


def require_folder_of_dvc() -> None:
    """Check that the workspace is the folder in which DVC runs this stage.

    DVC records the parameters and outputs of that folder, so it would take old results there for those of this run.

    Raises:
        ParamsError: $FEEDFORWARD_ROOT names another workspace.
    """
    root, here = paths.root(), Path.cwd()
    if not root.samefile(here):
        raise ParamsError([f"FEEDFORWARD_ROOT: must be {here}, where DVC runs this stage, got {root}; unset it"])


def main(stage: str, argument: str = "") -> int:
    """Run a stage and return its exit code; the message of an error is printed."""
    title = f"{stage} {argument}".strip()

    def run() -> None:
        by_dvc = "DVC_STAGE" in os.environ
        if by_dvc:
            require_folder_of_dvc()
        environment.apply()
        inputs: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if by_dvc:
            processes.end_with_ancestors(grace=interruption.grace_after_parent)
            dvc_links.check(paths.root())  # `feedforward run` has done this already, but not a direct `dvc repro`
            remove_leftovers(load_params())
            inputs = stage_inputs.unchanged(stage, argument)
        with inputs, processes.only_one(paths.lock(f"{stage}-{argument or 'all'}"), title):
            STAGES[stage](load_params(), argument)

    return interruption.reporting_interruption(lambda: run_reporting_errors(run, title))


if __name__ == "__main__":
    interruption.leave(main(*sys.argv[1:]))
