"""The plan of an experiment: packs of variants that train side by side, and the fingerprint of each run."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from feedforward.config.schema import Dataset, Params, Strict, Variant
from feedforward.core import provenance
from feedforward.core.code_digest import code_digest
from feedforward.data import manifest as manifest_file

# Entry modules of the code that determines a run's weights and curves, and of the code that computes its metrics.
WEIGHTS = ("feedforward.experiments.training_run",)
EVALUATION = ("feedforward.experiments.evaluation",)

Role = Literal["replica", "final"]
Source = Literal["split", "order", "weights"]
SOURCES: tuple[Source, ...] = get_args(Source)  # sources of variation; `weights`: initial weights and dropout masks


@dataclass(frozen=True)
class Member:
    """One run in a pack: a variant and, except for the seed, the parameters that determine its result."""

    variant: str
    fingerprint: str
    parameters: dict[str, Any]
    cost: float  # multiplications in the hidden layers of all forward passes


@dataclass(frozen=True)
class Pack:
    """Variants that train side by side with one seed, on the same samples and in the same order.

    train: the samples that the runs are trained on: a subset of the training samples, either `drawn` by the seed or
    `fixed`, or `all` of them. validate: the samples on which the runs are evaluated after each epoch; None: no
    validation. Final runs are evaluated on the test samples at the end. varied: the sources of variation that the seed
    determines; the others are as they are for seed 0.
    """

    dataset: str
    protocol: str
    role: Role
    seed: int
    members: tuple[Member, ...]
    epochs: int
    train: Literal["drawn", "fixed", "all"]
    validate: Literal["validation", "test"] | None
    data_digest: str
    varied: tuple[Source, ...] = SOURCES

    @property
    def name(self) -> str:
        """The name shown in progress bars, logs and messages."""
        variants = ", ".join(member.variant for member in self.members)
        return f"{self.dataset} seed {self.seed}: {variants}{' (final)' if self.role == 'final' else ''}"

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the members, in their order."""
        return tuple(member.fingerprint for member in self.members)

    @property
    def cost(self) -> float:
        """The sum over the members; the most expensive pack starts first."""
        return sum(member.cost for member in self.members)

    @property
    def logged_role(self) -> Literal["replica", "final", "component"]:
        """The `role` tag of the runs.

        Runs in which only some sources vary are components, not replicas: they are not used to compare variants, and
        they are never served.
        """
        return self.role if set(self.varied) == set(SOURCES) else "component"

    def seed_of(self, source: Source) -> int:
        """The seed for a source of variation."""
        return self.seed if source in self.varied else 0

    def without(self, finished: Collection[str]) -> "Pack":
        """The pack without the runs whose fingerprints are in `finished`."""
        return dataclasses.replace(self, members=tuple(m for m in self.members if m.fingerprint not in finished))


def plan(
    params: Params,
    protocol: str,
    datasets: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    varied: Sequence[Source] = SOURCES,
) -> list[Pack]:
    """The packs of an experiment, the longest first; final runs belong to protocol `fair`.

    datasets, variants, seeds: empty selects all. varied: the sources of variation that the seeds determine; see Pack.

    Raises:
        ParamsError: a name is unknown.
        DataError: the data are not vectorized yet.
    """
    selected = {name: params.dataset(name) for name in datasets or params.datasets}
    selected_variants = {name: params.variant(name) for name in variants or params.variants}
    packs, code = [], code_digest(WEIGHTS)
    for name, dataset in selected.items():
        manifest = manifest_file.load_current(name, dataset)
        runs = _runs(dataset, protocol, list(selected_variants))
        for seed in seeds or range(params.seeds):
            packs += _packs_of_seed(params, name, protocol, runs, seed, tuple(varied), manifest, code)
    return longest_first(packs)


def longest_first(packs: Iterable[Pack]) -> list[Pack]:
    """Packs in the order in which they start, the longest first, so that a long one does not run alone at the end."""
    return sorted(packs, key=lambda pack: -pack.cost)


def _runs(dataset: Dataset, protocol: str, variants: Sequence[str]) -> list[tuple[str, Role]]:
    if protocol == "lecture":
        slides = dataset.training.lecture.variants if dataset.training.lecture else ()
        return [(variant, "replica") for variant in variants if variant in slides]
    compared = variants if dataset.training.variants is None else dataset.training.variants
    runs: list[tuple[str, Role]] = [(variant, "replica") for variant in variants if variant in compared]
    final = dataset.training.final.variant
    return [*runs, (final, "final")] if final in variants else runs


def _packs_of_seed(
    params: Params,
    name: str,
    protocol: str,
    runs: Sequence[tuple[str, Role]],
    seed: int,
    varied: tuple[Source, ...],
    manifest: Mapping[str, Any],
    code: str,
) -> list[Pack]:
    """The packs of a seed: runs with the same samples and epochs train side by side, up to `pack_units`."""
    dataset = params.datasets[name]
    groups: dict[tuple[Any, ...], list[Member]] = {}
    for variant, role in runs:
        schedule = _schedule(dataset, variant, protocol, role)
        member = _member(params, name, variant, protocol, role, seed, varied, schedule, manifest, code)
        groups.setdefault((role, *schedule.items()), []).append(member)
    return [
        Pack(name, protocol, role, seed, members, **dict(schedule), data_digest=manifest["data_digest"], varied=varied)
        for (role, *schedule), group in groups.items()
        for members in _side_by_side(group, params.pack_units)
    ]


def _member(
    params: Params,
    name: str,
    variant: str,
    protocol: str,
    role: Role,
    seed: int,
    varied: tuple[Source, ...],
    schedule: Mapping[str, Any],
    manifest: Mapping[str, Any],
    code: str,
) -> Member:
    dataset = params.datasets[name]
    parameters = resolve(dataset, params.variants[variant]) | dict(schedule)
    if schedule["train"] != "all":
        parameters |= {f"validation_{key}": value for key, value in dataset.training.validation.model_dump().items()}
    if schedule["train"] == "drawn":
        del parameters["validation_take"]  # applies only to the fixed split
    if set(varied) != set(SOURCES):
        parameters["varied"] = ", ".join(varied)
    units: list[int] = parameters["hidden_units"]
    samples = manifest["samples"]["train"] - parameters.get("validation_samples", 0)
    samples *= dataset.training.train_share
    cost = schedule["epochs"] * samples * sum(a * b for a, b in itertools.pairwise([manifest["features"], *units]))
    fingerprint = provenance.fingerprint(
        dataset=name,
        data_digest=manifest["data_digest"],
        resolved=parameters,
        seed=seed,
        protocol=protocol,
        role=role,
        device=provenance.device(),
        code=code,
    )
    return Member(variant, fingerprint, parameters, float(cost))


def _schedule(dataset: Dataset, variant: str, protocol: str, role: Role) -> dict[str, Any]:
    """The fields `epochs`, `train` and `validate` of the Pack that trains this run."""
    training = dataset.training
    if role == "final":
        return {"epochs": training.final.epochs, "train": "all", "validate": None}
    if protocol == "lecture" and training.lecture is not None and variant in training.lecture.validated_on_test:
        return {"epochs": training.epochs, "train": "all", "validate": "test"}
    return {
        "epochs": training.epochs,
        "train": "fixed" if protocol == "lecture" else "drawn",
        "validate": "validation",
    }


def _side_by_side(members: Sequence[Member], most_units: int) -> list[tuple[Member, ...]]:
    """Groups whose first layers together have at most `most_units` units; a wider member is a group of its own."""
    groups: list[tuple[Member, ...]] = []
    for member in sorted(members, key=_units):
        if groups and sum(map(_units, groups[-1])) + _units(member) <= most_units:
            groups[-1] += (member,)
        else:
            groups.append((member,))
    return groups


def _units(member: Member) -> int:
    return int(member.parameters["hidden_units"][0])


def resolve(dataset: Dataset, variant: Variant) -> dict[str, Any]:
    """The parameters that determine the result of a run of the variant, by flat names, with defaults filled in."""
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
        **{f"optimizer_{key}": value for key, value in training.optimizer.settings().items()},
        **_flat("decay", training.optimizer.decay),
        **_flat("early_stopping", training.early_stopping),
        **({"train_share": training.train_share} if training.train_share < 1 else {}),
    }


def _flat(prefix: str, part: Strict | None) -> dict[str, Any]:
    """The fields of an optional section by flat names; empty if it is not set, so that old fingerprints stay valid."""
    return {f"{prefix}_{key}": value for key, value in part.model_dump().items()} if part else {}
