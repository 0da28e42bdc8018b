"""Which runs an experiment has: packs of replicas, the longest first, each run with its fingerprint."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feedforward import paths, provenance, storage
from feedforward.errors import DataError
from feedforward.params import Dataset, Params, Variant

Role = Literal["replica", "final"]


@dataclass(frozen=True)
class Pack:
    """Replicas of one variant that train side by side; `fingerprints` has one for each seed.

    train, validate: which samples (`training`, `all`) the runs learn from and where they are watched (`validation`,
    `test`, or `None`: nowhere). The final runs are evaluated on the test split when they are done. parameters: all
    that decide what a run learns, but for its seed.
    """

    dataset: str
    variant: str
    protocol: str
    role: Role
    seeds: tuple[int, ...]
    fingerprints: tuple[str, ...]
    epochs: int
    train: Literal["training", "all"]
    validate: Literal["validation", "test"] | None
    order_seed: int
    data_digest: str
    parameters: dict[str, Any]
    cost: float  # multiplications, to start the longest first

    @property
    def name(self) -> str:
        """What people read."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]}-{self.seeds[-1]}"
        return f"{self.dataset}/{self.variant}{' (final)' if self.role == 'final' else ''} {seeds}"


def plan(
    params: Params,
    protocol: str,
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Pack]:
    """The packs of an experiment, the longest first; empty filters mean all, and final runs belong to `fair`.

    Raises:
        ParamsError: an unknown name. DataError: the data are not vectorized yet.
    """
    chosen = {name: params.dataset(name) for name in datasets or params.datasets}
    wanted = {name: params.variant(name) for name in variants or params.variants}
    packs = []
    for name, dataset in chosen.items():
        manifest = manifest_of(name)
        for variant, role in _runs(dataset, protocol, list(wanted)):
            packs += _packs(params, name, dataset, variant, protocol, role, seeds or range(params.seeds), manifest)
    return sorted(packs, key=lambda pack: -pack.cost)


def _runs(dataset: Dataset, protocol: str, variants: Sequence[str]) -> list[tuple[str, Role]]:
    if protocol == "lecture":
        slides = dataset.training.lecture.variants if dataset.training.lecture else ()
        return [(variant, "replica") for variant in variants if variant in slides]
    compared = variants if dataset.training.variants is None else dataset.training.variants
    runs: list[tuple[str, Role]] = [(variant, "replica") for variant in variants if variant in compared]
    final = dataset.training.final.variant
    return [*runs, (final, "final")] if final in variants else runs


def _packs(
    params: Params,
    name: str,
    dataset: Dataset,
    variant: str,
    protocol: str,
    role: Role,
    seeds: Iterable[int],
    manifest: Mapping[str, Any],
) -> list[Pack]:
    lecture = dataset.training.lecture
    on_test = protocol == "lecture" and lecture is not None and variant in lecture.validated_on_test
    units = dataset.network.sizes[params.variants[variant].size]
    samples = manifest["samples"]["train"]
    if role == "final":
        how: dict[str, Any] = {"epochs": dataset.training.final.epochs, "train": "all", "validate": None}
    else:
        how = {"epochs": dataset.training.epochs, "train": "all" if on_test else "training"}
        how["validate"] = "test" if on_test else "validation"
        samples -= 0 if on_test else dataset.training.validation.samples
    parameters = resolve(params, dataset, params.variants[variant]) | how
    widths = [manifest["features"], *units]
    cost = how["epochs"] * samples * sum(a * b for a, b in itertools.pairwise(widths))
    packs = []
    for part in _side_by_side(list(seeds), 1 if role == "final" else max(1, params.pack_units // units[0])):
        # Differences between variants are paired over one order of the batches. A final run stands alone against
        # figures from elsewhere, and the order moves those more than the initial weights do: each has its own.
        order = params.data_order_seed + (part[0] if role == "final" else 0)
        resolved = parameters | {"data_order_seed": order}
        prints = tuple(_fingerprint(manifest, resolved, seed, protocol, role) for seed in part)
        digest = manifest["data_digest"]
        packs.append(
            Pack(
                name,
                variant,
                protocol,
                role,
                part,
                prints,
                **how,
                order_seed=order,
                data_digest=digest,
                parameters=resolved,
                cost=cost * len(part),
            )
        )
    return packs


def _side_by_side(seeds: Sequence[int], number: int) -> list[tuple[int, ...]]:
    return [tuple(seeds[start : start + number]) for start in range(0, len(seeds), number)]


def resolve(params: Params, dataset: Dataset, variant: Variant) -> dict[str, Any]:
    """Every parameter that decides what a run of the variant learns, with defaults filled in, by flat names."""
    training, network = dataset.training, dataset.network
    return {
        "task": dataset.task,
        "hidden_units": list(network.sizes[variant.size]),
        "activation": network.activation,
        "scale": network.scale,
        "l2": variant.l2,
        "dropout_rate": variant.dropout_rate,
        "batch_size": training.batch_size,
        "data_order_seed": params.data_order_seed,
        "validation_take": training.validation.take,
        "validation_samples": training.validation.samples,
        **{f"optimizer_{key}": value for key, value in training.optimizer.model_dump().items()},
    }


def _fingerprint(manifest: Mapping[str, Any], resolved: dict[str, Any], seed: int, protocol: str, role: str) -> str:
    return provenance.fingerprint(
        data_digest=manifest["data_digest"],
        resolved=resolved,
        seed=seed,
        protocol=protocol,
        role=role,
        device=os.environ.get("CUDA_VISIBLE_DEVICES", "default"),
    )


def manifest_of(name: str) -> dict[str, Any]:
    """What vectorize says of a data set.

    Raises:
        DataError: it is not vectorized.
    """
    path = paths.vectorized(name) / "manifest.json"
    try:
        return dict(storage.read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run `dvc repro vectorize`") from None
