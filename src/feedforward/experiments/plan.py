"""Which runs an experiment has: packs of replicas, the longest first, each run with its fingerprint."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feedforward.config.schema import Dataset, Params, Strict, Variant
from feedforward.core import provenance
from feedforward.data import manifest as manifest_file

WEIGHTS = ("feedforward.training.trainer",)  # the code that decides the bits of a run begins here
FINAL = (*WEIGHTS, "feedforward.models.attribution")  # a final run also says which samples it gets most wrong

Role = Literal["replica", "final"]


@dataclass(frozen=True)
class Pack:
    """Replicas of one variant that train side by side; `fingerprints` has one for each seed.

    train, validate: which samples (`training`, `all`) the runs learn from and where they are watched (`validation`,
    `test`, or `None`: nowhere). The final runs are evaluated on the test split when they are done. parameters: all
    that decide what a run learns, but for its seed. recorded: fingerprints of runs that train for the others' sake
    alone: the store holds them already.
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
    recorded: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What people read."""
        seeds = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]}-{self.seeds[-1]}"
        return f"{self.dataset}/{self.variant}{' (final)' if self.role == 'final' else ''} {seeds}"

    def without(self, known: Collection[str]) -> "Pack":
        """The pack without the runs of these fingerprints; whole, while any is left, where the pack decides bits."""
        left = [k for k, fingerprint in enumerate(self.fingerprints) if fingerprint not in known]
        if left and provenance.pack_decides():
            return dataclasses.replace(self, recorded=frozenset(self.fingerprints).intersection(known))
        return dataclasses.replace(
            self,
            seeds=tuple(self.seeds[k] for k in left),
            fingerprints=tuple(self.fingerprints[k] for k in left),
            cost=self.cost * len(left) / len(self.seeds),
        )


def plan(
    params: Params,
    protocol: str,
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Pack]:
    """The packs of an experiment, the longest first; empty filters mean all, and final runs belong to `fair`.

    Raises:
        ParamsError: an unknown name.
        DataError: the data are not vectorized yet.
    """
    chosen = {name: params.dataset(name) for name in datasets or params.datasets}
    wanted = {name: params.variant(name) for name in variants or params.variants}
    packs = []
    for name, dataset in chosen.items():
        manifest = manifest_file.load(name)
        for variant, role in _runs(dataset, protocol, list(wanted)):
            packs += _packs(params, name, dataset, variant, protocol, role, seeds or range(params.seeds), manifest)
    return longest_first(packs)


def longest_first(packs: Iterable[Pack]) -> list[Pack]:
    """The order in which packs are started, so that no long one is left over at the end."""
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
    seeds: Sequence[int],
    manifest: Mapping[str, Any],
) -> list[Pack]:
    how = _how(dataset, variant, protocol, role)
    parameters = resolve(params, dataset, params.variants[variant]) | how
    if how["train"] == "training":
        parameters |= {f"validation_{key}": value for key, value in dataset.training.validation.model_dump().items()}
    units: list[int] = parameters["hidden_units"]
    samples = manifest["samples"]["train"] - parameters.get("validation_samples", 0)
    cost = how["epochs"] * samples * sum(a * b for a, b in itertools.pairwise([manifest["features"], *units]))
    packs = []
    for part in _side_by_side(seeds, 1 if role == "final" else max(1, params.pack_units // units[0])):
        # Differences between variants are paired over one order of the batches. A final run stands alone against
        # figures from elsewhere, and the order moves those more than the initial weights do: each has its own.
        order = params.data_order_seed + (part[0] if role == "final" else 0)
        resolved = parameters | {"data_order_seed": order}
        places = [(k, len(part)) if provenance.pack_decides() else None for k in range(len(part))]
        prints = tuple(
            _fingerprint(manifest, resolved, seed, protocol, role, place)
            for seed, place in zip(part, places, strict=True)
        )
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
                data_digest=manifest["data_digest"],
                parameters=resolved,
                cost=float(cost * len(part)),
            )
        )
    return packs


def _how(dataset: Dataset, variant: str, protocol: str, role: Role) -> dict[str, Any]:
    training = dataset.training
    if role == "final":
        return {"epochs": training.final.epochs, "train": "all", "validate": None}
    if protocol == "lecture" and training.lecture is not None and variant in training.lecture.validated_on_test:
        return {"epochs": training.epochs, "train": "all", "validate": "test"}
    return {"epochs": training.epochs, "train": "training", "validate": "validation"}


def _side_by_side(seeds: Sequence[int], number: int) -> list[tuple[int, ...]]:
    return [tuple(seeds[start : start + number]) for start in range(0, len(seeds), number)]


def resolve(params: Params, dataset: Dataset, variant: Variant) -> dict[str, Any]:
    """The parameters that decide what any run of the variant learns, with defaults filled in, by flat names."""
    training, network = dataset.training, dataset.network
    return {
        "task": dataset.task,
        "classes": len(dataset.labels),
        "hidden_units": list(network.sizes[variant.size]),
        "activation": network.activation,
        "scale": network.scale,
        "l2": variant.l2,
        "dropout_rate": variant.dropout_rate,
        "batch_size": training.batch_size,
        "data_order_seed": params.data_order_seed,
        **{f"optimizer_{key}": value for key, value in training.optimizer.settings().items()},
        **_flat("decay", training.optimizer.decay),
        **_flat("early_stopping", training.early_stopping),
    }


def _flat(prefix: str, part: Strict | None) -> dict[str, Any]:
    """What was set, by flat names; nothing where nothing was, so that older runs keep their parameters."""
    return {f"{prefix}_{key}": value for key, value in part.model_dump().items()} if part else {}


def _fingerprint(
    manifest: Mapping[str, Any],
    resolved: dict[str, Any],
    seed: int,
    protocol: str,
    role: str,
    place: tuple[int, int] | None,
) -> str:
    return provenance.fingerprint(
        data_digest=manifest["data_digest"],
        resolved=resolved,
        seed=seed,
        protocol=protocol,
        role=role,
        device=provenance.device(),
        place=place,
        modules=FINAL if role == "final" else WEIGHTS,
    )
