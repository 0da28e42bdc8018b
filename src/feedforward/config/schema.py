"""params.yaml as frozen, strict objects: every number of an experiment, checked before any work.

A dataset and a variant are data: what distinguishes two datasets or two variants is an entry of params.yaml and
nothing else.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from feedforward.config import cross_checks, messages, renamed_keys, yaml_reader
from feedforward.config.claims import Claim, StatisticName
from feedforward.config.fields import Distinct, FileName, Line, Location, Name, Positive, Seed, Strict, T
from feedforward.config.operations import Drift, Promotion, Retraining, Schedule, Serving
from feedforward.config.readers import (
    Drawn,
    Expectations,
    IdxPair,
    IdxReader,
    ImageReader,
    Reader,
    TableReader,
    TextReader,
)
from feedforward.config.sources import DIGESTS, SourceFile, check_stored_names
from feedforward.config.training import EarlyStopping, Network, Optimizer, Training, Variant
from feedforward.core import paths, redaction
from feedforward.core.errors import ParamsError

<<<<<<< HEAD
__all__ = [
    "DIGESTS", "Claim", "Dataset", "Drawn", "Drift", "EarlyStopping", "Expectations", "IdxPair", "IdxReader",
    "ImageReader", "Network", "Optimizer", "Params", "Promotion", "Reader", "Retraining", "Schedule", "Serving",
    "SourceFile", "StatisticName", "Strict", "TableReader", "TextReader", "Training", "Variant", "check",
    "load_params",
]  # fmt: skip
=======
T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must not hold anything twice")
    return values


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("must be the lowest and the highest, in this order")
    return pair


def _known_zone(name: str) -> str:
    try:
        return zoneinfo.ZoneInfo(name).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone, for instance Europe/Berlin") from None


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$")]  # no folder, so nothing lands outside
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]  # shown to people, in tables and headings
Location = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]  # a folder or URL
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Bytes = Annotated[int, Field(gt=0, le=2**50)]
Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
Span = Annotated[tuple[T, T], AfterValidator(_rising)]  # lowest and highest, both allowed
Cron = Annotated[str, Field(pattern=r"^[\w*/,?#-]+( [\w*/,?#-]+){4,5}$")]  # minute, hour, day, month, weekday[, second]
Block = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]  # TYPE/NAME
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """Frozen; unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


# --- fetch -----------------------------------------------------------------------------------


class SourceFile(Strict):
    """One file to fetch; `sha256` is that of its content, so that any source may serve it.

    archive `gzip`: the content is the unpacked file. `tar`: the content is the regular members with
    `suffix` (or one of several) directly in one of `folders`; its digest is that of a line `NAME NUL HEX LF`
    a member, in the order of `folders` and by file name. `folder`: the same from a folder as it lies, on a disk or
    in s3. `none`: the content is the file itself.
    """

    urls: tuple[Location, ...] = ()
    archive: Literal["none", "gzip", "tar", "folder"] = "none"
    sha256: Sha256 | None = None
    max_bytes: Bytes = 2**30
    folders: Annotated[Distinct[str], Field(validate_default=True)] = ()
    suffix: str | tuple[str, ...] = ""
    file_count: Positive | None = None  # files of a tar or folder; None: any number above 0

    @field_validator("folders")
    @classmethod
    def _of_tar(cls, folders: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "archive" in info.data and (info.data["archive"] in ("tar", "folder")) != bool(folders):
            raise ValueError("belongs to `archive: tar` or `folder`, and only there")
        return folders

    def stored_as(self, key: str) -> str:
        """Name of the verified content in the folder of raw files; `key` is that of this entry of `files`."""
        return {"gzip": key.removesuffix(".gz"), "none": key}.get(self.archive, f"{key}.parquet")


DIGESTS = "digests.json"  # stands beside the raw files: SHA-256 of each file's content, as first fetched


def _stored_apart(files: dict[str, SourceFile]) -> dict[str, SourceFile]:
    """Each file has a name of its own among the raw files, and none that is needed there for something else."""
    owner = {DIGESTS: "feedforward itself"}
    for key, file in files.items():
        name = file.stored_as(key)
        if name in owner or name.endswith(atomic_files.TEMPORARY):
            raise ValueError(
                f"the content of {key} would be stored as {name}, which belongs to"
                f" {owner.get(name, 'files that are being written')}; give it another key"
            )
        owner[name] = key
    return files


# --- vectorize -------------------------------------------------------------------------------


class IdxPair(Strict):
    """The two idx files of a split."""

    features: str
    labels: str


class IdxReader(Strict):
    """Gray images in idx files; features are the pixels, uint8, row by row."""

    kind: Literal["idx"]
    train: IdxPair
    test: IdxPair
    classes: Annotated[Distinct[Annotated[int, Field(ge=0, le=255)]], Field(min_length=2)] | None = None  # None: from 0
    shuffle_seed: Seed | None = None


class Drawn(Strict):
    """Which samples test where no test file or folder is named: about a share of each class, decided by a hash of the
    sample and the seed, so that samples stay in their part when the data grow.
    """

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split_seed: Seed = 0
    shuffle_seed: Seed | None = 0  # of the training samples, which often come sorted by class; None: as they come


class TextReader(Drawn):
    """Texts in class folders, or in two columns of a CSV or JSONL file; features are multi-hot words.

    Class folders: `train` and `test` are folders of the archive (empty: its top), `classes` the folders beneath them,
    in label order. Columns: `text` and `label` of `file` (and `test_file`), `classes` the values of `label`.
    """

    kind: Literal["labeled_text"]
    file: str
    train: str | None = None
    test: str | None = None
    text: str | None = None
    label: str | None = None
    test_file: str | None = None
    missing: Distinct[str] = ()  # labels that count as missing, beside the usual spellings; such rows are left out
    classes: Distinct[str]
    num_words: Annotated[int, Field(ge=5, le=65536)]  # columns are uint16


class ImageReader(Drawn):
    """Pictures in class folders, `train` and `test` as of texts; features are gray levels, uint8, row by row.

    A picture of another size is scaled into `height` x `width`, its proportions kept, on the colour of its corners.
    """

    kind: Literal["image_folder"]
    file: str
    train: str = ""
    test: str | None = None
    classes: Distinct[str]
    height: Annotated[int, Field(gt=0, le=1024)]
    width: Annotated[int, Field(gt=0, le=1024)]


class TableReader(Drawn):
    """Rows of a CSV or Parquet file; features are numbers, standardized, and categories, one-hot.

    Mean, standard deviation and categories are those of the training rows. `target`: the column to learn, for
    multilabel one a label; `classes`: its values in label order, where it holds classes.
    """

    kind: Literal["table"]
    file: str
    test_file: str | None = None
    target: Annotated[Distinct[str], Field(min_length=1)]
    classes: Distinct[str] | None = None
    numeric: Distinct[str] = ()
    categorical: Distinct[str] = ()
    decimal: Literal[".", ","] = "."  # of numbers that are written as text
    missing: Distinct[str] = ()  # spellings of a missing value, beside the usual ones (empty, ?, NA, …)


Reader = Annotated[IdxReader | TextReader | ImageReader | TableReader, Field(discriminator="kind")]


# --- validate --------------------------------------------------------------------------------


class Expectations(Strict):
    """Bounds that the data must keep; a pair is (lowest, highest), both allowed."""

    train_samples: Span[Count]
    test_samples: Span[Count]
    class_share: Span[Share] = (0.0, 1.0)  # of a class; of the samples with a label, where there may be several
    target: Span[float] | None = None  # of a value to learn, as training reads it
    nonzero_features: Span[Count]  # non-zero features of a sample
    value: Span[float]  # of any feature
    raw_length: Span[Count]  # bytes of a raw sample
    empty: Count = 0  # samples without a non-zero feature
    duplicates: Count  # samples beyond the first of equal ones in a split
    overlap: Count  # distinct raw samples that stand in both splits


# --- train -----------------------------------------------------------------------------------


class Decay(Strict):
    """A learning rate that falls from epoch to epoch: `exponential`, by a factor; `cosine`, to zero at the end."""

    kind: Literal["exponential", "cosine"]
    factor: Annotated[float, Field(gt=0, le=1)] = 0.9


# Which parameters an optimizer has, beside its learning rate
_OF_OPTIMIZER = {
    "rmsprop": ("rho", "momentum", "epsilon"),
    "sgd": ("momentum", "nesterov"),
    "adagrad": ("epsilon", "initial_accumulator"),
    "adam": ("beta_1", "beta_2", "epsilon"),
}


class Optimizer(Strict):
    """A Keras optimizer by name; what is not given keeps Keras's default."""

    name: Literal["rmsprop", "sgd", "adagrad", "adam"] = "rmsprop"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    rho: Annotated[float, Field(ge=0, lt=1)] = 0.9
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    initial_accumulator: Annotated[float, Field(ge=0)] = 0.1
    epsilon: Annotated[float, Field(gt=0)] = 1e-7
    decay: Decay | None = None

    @field_validator("rho", "momentum", "nesterov", "beta_1", "beta_2", "initial_accumulator", "epsilon")
    @classmethod
    def _belongs(cls, value: T, info: ValidationInfo) -> T:
        name, key = info.data.get("name"), str(info.field_name)
        if name is not None and key not in _OF_OPTIMIZER[name] and value != cls.model_fields[key].default:
            raise ValueError(f"is no parameter of {name}, whose are learning_rate, {', '.join(_OF_OPTIMIZER[name])}")
        return value

    def settings(self) -> dict[str, Any]:
        """The parameters that this optimizer has, with their values."""
        own = ("name", "learning_rate", *_OF_OPTIMIZER[self.name])
        return {key: getattr(self, key) for key in own}


class EarlyStopping(Strict):
    """A replica stops when its validation loss has not fallen by `min_delta` for `patience` epochs.

    It keeps the weights of its best epoch. Each replica stops by itself, whatever others of its pack do.
    """

    patience: Positive
    min_delta: Annotated[float, Field(ge=0)] = 0.0


class Network(Strict):
    """Hidden layers by size name; a variant picks a size. `scale` divides the features, in the model."""

    sizes: dict[Name, Annotated[tuple[Annotated[int, Field(gt=0, le=65536)], ...], Field(min_length=1)]]
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"] = "relu"
    scale: Annotated[float, Field(gt=0)] = 1.0


class Holdout(Strict):
    """Which training samples validate: the first or the last so many."""

    take: Literal["first", "last"]
    samples: Positive


class Final(Strict):
    """The final model: a variant, trained on all training samples, that meets the test split once."""

    variant: Name
    epochs: Positive


class Lecture(Strict):
    """The slides' protocol: these variants; `validated_on_test` train on all samples and validate on test."""

    variants: Distinct[Name]
    validated_on_test: Distinct[Name] = ()


class Training(Strict):
    """How the variants of a data set are trained. `variants`: those that are compared on it; None: all of params."""

    variants: Distinct[Name] | None = None
    epochs: Positive
    batch_size: Annotated[int, Field(gt=0, le=65536)]  # rows of a batch are uint16
    optimizer: Optimizer = Optimizer()
    early_stopping: EarlyStopping | None = None  # of what is validated; the final model trains `final.epochs`
    validation: Holdout
    final: Final
    lecture: Lecture | None = None


class Variant(Strict):
    """What a variant changes; every default is the identity, so `original` is {}."""

    size: Name = "base"
    l2: Annotated[float, Field(ge=0, le=10)] = 0.0
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0


# --- compare ---------------------------------------------------------------------------------

StatisticName = Literal[
    "best_val_cross_entropy",
    "best_epoch",
    "best_val_accuracy",
    "best_val_mae",
    "last_val_cross_entropy",
    "last_val_accuracy",
    "last_val_mae",
    "generalization_gap",
    "slope",
    "rise",
    "test_loss",
    "test_accuracy",
    "test_auc",
    "test_f1",
    "test_mae",
    "test_r2",
]


class Claim(Strict):
    """A claim to judge: `left` is lower, higher or equal (within `tolerance`) than `right` or `value`.

    left, right: variants; value: a constant, in the statistic's unit, in the place of `right`.
    """

    text: Annotated[Line, Field(min_length=1)]
    statistic: StatisticName
    left: Name
    direction: Literal["lower", "higher", "equal"]
    right: Name | None = None
    value: Annotated[float | None, Field(validate_default=True)] = None
    tolerance: Annotated[float | None, Field(gt=0, validate_default=True)] = None

    @field_validator("value")
    @classmethod
    def _either(cls, value: float | None, info: ValidationInfo) -> float | None:
        if "right" in info.data and (info.data["right"] is None) == (value is None):
            raise ValueError("a claim needs either `right` (a variant) or `value` (a number)")
        return value

    @field_validator("tolerance")
    @classmethod
    def _of_equal(cls, tolerance: float | None, info: ValidationInfo) -> float | None:
        if "direction" in info.data and (info.data["direction"] == "equal") != (tolerance is not None):
            raise ValueError("`tolerance` belongs to `direction: equal`, and only there")
        return tolerance


# --- promote and serve -----------------------------------------------------------------------


class Promotion(Strict):
    """When a challenger replaces the champion. The defaults let every sound model through that is not worse."""

    minimum_gain: Annotated[float, Field(ge=0)] = 0.0  # of validation cross-entropy (nats), by the interval's low end
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # of that interval
    # models trained with the validation split held out, one per seed, as evidence for the final model
    holdout_models: Annotated[int, Field(ge=1, le=100)] = 3
    class_accuracy: Share = 0.0  # on the validation samples of each class, at least
    minimum_r2: Share = 0.0  # R² of a regression on the validation samples
    max_bytes: Bytes = 2**30  # of the served folder
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # ms for one sample


class Serving(Strict):
    """Bounds of the service and of what it takes in."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # s between two looks at the registry
    max_body_bytes: Positive = 8 * 2**20  # of a request
    max_samples: Positive = 1000  # of a request
    max_text_bytes: Positive = 2**18  # of one text; one picture may fill the request
    max_feedback_bytes: Bytes = 2**26  # labeled samples kept for retraining, per dataset


# --- train again -----------------------------------------------------------------------------


class Drift(Strict):
    """How far incoming samples may be from training data; distances are from 0 (alike) to 1."""

    label: Share = 0.2  # Jensen–Shannon distance of the shares of the classes
    feature: Share = 0.2  # Kolmogorov–Smirnov distance of any feature, of their number and of a sample's length
    # probability that samples without drift are reported as drifted, over all measurements
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01


class Schedule(Strict):
    """When the retraining flow starts by itself; cron None: never."""

    cron: Cron | None = None
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    pool: Literal["cpu", "gpu"] = "cpu"


class Retraining(Strict):
    """What makes the retraining flow train, and where."""

    use_feedback: bool = False  # train on the labeled samples from users, too
    minimum_new_samples: Positive = 100  # such samples of a data set that are worth a training
    max_age: Annotated[float, Field(gt=0)] = 30.0  # days of a champion, if there is anything new to learn
    drift: Drift = Drift()
    schedule: Schedule = Schedule()
    gpus: Positive = 1  # slots: trainings on GPUs at a time, each on one device of its own
    cpu_fallback: bool = False  # train on the CPU where a GPU is asked for and there is none
    notify: Block | None = None  # a Prefect block that sends messages; None: the log alone


# --- all -------------------------------------------------------------------------------------
>>>>>>> 201fb9f (wip)


class Dataset(Strict):
    """A dataset: where its bytes are, how they become features, what must hold, how it is learned.

    expectations: None (`null`): inferred from the training split, and written out to be edited.
    """

    title: Line  # name of the dataset in tables and headings
    demo: bool = False  # small embedded data: marked as such in reports, never promoted
    task: Literal[
        "binary", "multiclass", "multilabel", "regression", "unit_regression"
    ]  # what is learned ([datasets.md](datasets.md))
    labels: Annotated[Distinct[Line], Field(min_length=1)]  # class names; of a regression, the name of the value
    # the files to fetch, by name
    files: Annotated[dict[FileName, SourceFile], Field(min_length=1), AfterValidator(check_stored_names)]
    reader: Reader  # how files become features and labels
    expectations: Expectations | None  # what the data must keep; null: inferred from the training split
    network: Network  # hidden layers
    training: Training  # how the variants are trained
    claims: tuple[Claim, ...] = ()  # statements about variants, judged over seeds


class Params(Strict):
    """All of params.yaml."""

    # name of this project in a shared tracking store; empty: names of datasets alone
    project: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,39})?$")] = ""
    seeds: Annotated[int, Field(ge=1, le=1000)]  # replicas of each variant: seeds 0, 1, …
    data_order_seed: Seed = 0  # order of the batches
    pack_units: Positive = 320  # replicas train side by side while their first layers together are no wider
    # `threads`: the cores of this machine; or the address of a Dask scheduler
    engine: Annotated[str, Field(pattern=r"^(threads|(tcp|tls|ws|wss|ucx)://\S+)$")] = "threads"
    shards: Location = "data/shards"  # folder or URL of text shards that all workers of a Dask cluster reach
    protocols: Annotated[Distinct[Literal["fair", "lecture"]], Field(min_length=1)] = (
        "fair",
    )  # `fair`; `lecture`: as on the slides
    mirrors: tuple[Location, ...] = ()  # folders or URLs tried first for every file
    margins: dict[StatisticName, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict
    )  # differences below them do not matter
    promotion: Promotion = Promotion()  # when a challenger becomes champion
    serving: Serving = Serving()  # limits of the service
    retraining: Retraining = Retraining()  # what starts a retraining, and where it runs
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]  # what is learned, by name
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]  # differences from the original network, by name

    @model_validator(mode="after")
    def _check_across(self) -> "Params":
        if problems := list(cross_checks.find(self.model_dump(), Variant().size)):
            raise ValueError("\n".join(problems))
        return self

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name.

        Raises:
            ParamsError: unknown, with the valid names and the nearest.
        """
        return _named("dataset", name, self.datasets)

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            ParamsError: unknown, with the valid names and the nearest.
        """
        return _named("variant", name, self.variants)


def _named(kind: str, name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    hint = cross_checks.nearest(name, known)
    raise ParamsError([f"unknown {kind} {name!r}: must be one of {', '.join(known)}{hint}"])


def load_params(path: Path | None = None) -> Params:
    """Read and check params.yaml; `path` defaults to that of the current workspace.

    Raises:
        ParamsError: every mistake at once, each with key, bound and value.
    """
    path = path or paths.params()
    return check(yaml_reader.read(path), path.name)


def check(values: dict[str, Any], file: str) -> Params:
    """Values as params; each mistake begins with `file`.

    Raises:
        ParamsError: every mistake at once, each with key, bound and value.
    """
    values, problems = renamed_keys.rename(values)
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        problems += [*messages.explain(error), *cross_checks.find(values, Variant().size)]
    if problems:
        raise ParamsError([f"{file}: {problem}" for problem in problems])
    labels = (label for dataset in params.datasets.values() for label in dataset.labels)
    redaction.allow([*params.datasets, *params.variants, *labels])
    return params
