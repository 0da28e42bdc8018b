"""From a finished final run to a registered version: its network, its preprocessing, and the variants beside it."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedforward.config.schema import Dataset, Params
from feedforward.core import paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import manifest as manifest_file
from feedforward.data.readers import encoders
from feedforward.data.readers.encoders import Encoder
from feedforward.data.sources import download
from feedforward.experiments import plan
from feedforward.models import numpy_network
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Description
from feedforward.tracking import Found, model_version
from feedforward.tracking.model_version import Version

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry


def choose(params: Params, name: str, registry: "Registry", run_id: str | None) -> Found:
    """The final run to promote: that one, or the latest that was trained on the data and parameters as they are.

    Raises:
        ParamsError: no such final run. DataError: it was trained on other data or with other parameters.
    """
    found = registry.find_runs(name, role="final")
    if not found:
        raise DataError(f"{name}: has no finished final run; run `feedforward run` or `feedforward train {name}`")
    if run_id is None:
        fitting = next((run for run in found if misfit(params, name, run) is None), None)
        if fitting is None:
            raise DataError(f"{name}: {misfit(params, name, found[0])}; run `feedforward train {name}`")
        return fitting
    chosen = [run for run in found if run.run_id.startswith(run_id)]
    if len(chosen) != 1:
        some = ", ".join(f"{run.run_id[:8]} ({run.name})" for run in found[:5])
        raise ParamsError([f"--run: must name a final run of {name}, such as {some}; got {run_id}"])
    if problem := misfit(params, name, chosen[0]):
        raise DataError(f"{name}: {problem}; run `feedforward train {name}`")
    return chosen[0]


def misfit(params: Params, name: str, run: Found) -> str | None:
    """What tells the run from one that would be trained now; None if nothing does, but for code and versions."""
    digest = manifest_file.load(name)["data_digest"]
    who = f"run {run.run_id[:8]} ({run.name})"
    if run.tags.get("data_digest") != digest:
        return f"{who} was trained on other data ({run.tags.get('data_digest', '')[:12]}, now {digest[:12]})"
    expected = _planned(params, name, run)
    if expected is None:
        return f"{who} is none that params.yaml asks for any more"
    differs = [key for key, value in expected.items() if run.params.get(key) != str(value)]
    return f"{who} was trained with other parameters ({', '.join(differs)})" if differs else None


def _planned(params: Params, name: str, run: Found) -> Mapping[str, Any] | None:
    variant, protocol, role = (run.tags.get(key, "") for key in ("variant", "protocol", "role"))
    if variant not in params.variants or protocol not in ("fair", "lecture"):
        return None
    packs = plan.plan(params, protocol, [name], [variant], [int(run.tags.get("seed", 0))])
    return next((pack.parameters for pack in packs if pack.role == role), None)


def register(params: Params, name: str, run: Found, registry: "Registry") -> Version:
    """The version of the run, made if it is not there yet: the network, and beside it a replica of each variant.

    Raises:
        DataError: the logged model is not what its run recorded.
    """
    dataset = params.datasets[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder, encoder = Path(temporary), encoder_of(name, dataset)
        digest = package(name, dataset, run, registry, encoder, folder / model_version.SERVED)
        for known in registry.versions(name, run.run_id):
            if known.tags.get(model_version.DIGEST) == digest:
                return known
        folders, others = {model_version.SERVED: folder / model_version.SERVED}, {}
        for variant, replica in replicas(params, name, run, registry).items():
            folders[f"variants/{variant}"] = folder / "variants" / variant
            others[variant] = package(name, dataset, replica, registry, encoder, folder / "variants" / variant)
        tags = {key: run.tags[key] for key in ("variant", "seed", "protocol", "data_digest", "weights_digest")}
        tags |= {model_version.DIGEST: digest, "title": dataset.title}
        tags["variants"] = json.dumps(others)  # as params.yaml orders them
        return registry.register(name, run.run_id, folders, tags)


def encoder_of(name: str, dataset: Dataset) -> Encoder:
    """The preprocessing of a data set as it is vectorized."""
    files = {key: paths.raw(name) / download.stored_name(key, file) for key, file in dataset.files.items()}
    return encoders.of_dataset(dataset.reader, paths.vectorized(name), files)


def package(name: str, dataset: Dataset, run: Found, registry: "Registry", encoder: Encoder, folder: Path) -> str:
    """Write a run's network and preprocessing as a servable; its digest."""
    model = registry.model_file(run)
    where = f"model of run {run.run_id[:8]}"
    weights, recorded = numpy_network.read(model, where).weights_digest(), run.tags.get("weights_digest", "")
    if weights != recorded:
        raise DataError(f"{where}: its weights are not those that the run recorded; train it again")
    manifest = manifest_file.load(name)
    target = manifest.get("target")
    held_out = dataset.training.validation.samples if run.params.get("train") == "training" else 0
    described = Description(
        dataset=name,
        title=dataset.title,
        labels=dataset.labels,
        variant=run.tags["variant"],
        seed=int(run.tags["seed"]),
        epochs=int(run.params["epochs"]),
        samples=manifest["samples"]["train"] - held_out,
        run_id=run.run_id,
        fingerprint=run.tags["fingerprint"],
        data_digest=run.tags["data_digest"],
        weights_digest=weights,
        task=dataset.task,
        target=(target["mean"], target["scale"]) if target else None,
    )
    return bundle.write(folder, model, described, encoder)


def replicas(params: Params, name: str, run: Found, registry: "Registry") -> dict[str, Found]:
    """A replica of each variant of params.yaml: from the run's own seed where there is one, else from the lowest."""
    found = registry.find_runs(name, role="replica", protocol=run.tags["protocol"])
    found = [each for each in found if misfit(params, name, each) is None]
    chosen = {}
    for variant in params.variants:
        own = [each for each in found if each.tags["variant"] == variant]
        if own:
            chosen[variant] = min(own, key=lambda each: (each.tags["seed"] != run.tags["seed"], int(each.tags["seed"])))
    return chosen


def recorded(params: Params, name: str, run: Found, registry: "Registry") -> float | None:
    """Validation cross-entropy of the replica of the run's seed and order of batches at the run's last epoch."""
    own = {key: run.tags[key] for key in ("variant", "protocol", "seed")}
    for replica in registry.find_runs(name, role="replica", **own):
        same_order = replica.params.get("data_order_seed") == run.params.get("data_order_seed")
        if same_order and misfit(params, name, replica) is None:
            curve = registry.curve(replica, "val_cross_entropy")
            last = int(run.params["epochs"])
            return curve[last - 1] if len(curve) >= last else None
    return None


def finals(params: Params, name: str, run: Found, registry: "Registry") -> Sequence[Mapping[str, float]]:
    """Metrics of all final runs of the recipe, one a seed: what the test split said of each."""
    found = registry.find_runs(name, role="final", variant=run.tags["variant"], protocol=run.tags["protocol"])
    fitting = [each for each in reversed(found) if misfit(params, name, each) is None]
    return list({each.tags["seed"]: each.metrics for each in fitting}.values())
