"""`variants`, `datasets.*.network` and `datasets.*.training`: what is trained, and how."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from feedforward.config.fields import Distinct, Name, Positive, Strict, T


class Decay(Strict):
    """A learning rate that decays from epoch to epoch: `exponential` by a fixed factor, `cosine` to zero at the end."""

    kind: Literal["exponential", "cosine"]  # form of the decay: by a factor per epoch, or along a cosine
    factor: Annotated[float, Field(gt=0, le=1)] = 0.9  # factor per epoch, for `exponential`

    @field_validator("factor")
    @classmethod
    def _check_factor(cls, factor: float, info: ValidationInfo) -> float:
        if info.data.get("kind") == "cosine" and factor != cls.model_fields["factor"].default:
            raise ValueError("is allowed only with `kind: exponential`")
        return factor


# Parameters of each optimizer, other than its learning rate
_PARAMETERS = {
    "rmsprop": ("rho", "momentum", "epsilon"),
    "sgd": ("momentum", "nesterov"),
    "adagrad": ("epsilon", "initial_accumulator"),
    "adam": ("beta_1", "beta_2", "epsilon"),
}


class Optimizer(Strict):
    """A Keras optimizer and its parameters; those not given have Keras's default values."""

    name: Literal["rmsprop", "sgd", "adagrad", "adam"] = "rmsprop"  # name of the Keras optimizer
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001  # initial learning rate
    rho: Annotated[float, Field(ge=0, lt=1)] = 0.9  # rmsprop: decay rate of the mean squared gradient
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0  # rmsprop, sgd: momentum
    nesterov: bool = False  # sgd: whether to use Nesterov momentum
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9  # adam: decay rate of the mean gradient
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999  # adam: decay rate of the mean squared gradient
    initial_accumulator: Annotated[float, Field(ge=0)] = 0.1  # adagrad: initial value of the accumulator
    epsilon: Annotated[float, Field(gt=0)] = 1e-7  # rmsprop, adagrad, adam: constant added to the denominator
    decay: Decay | None = None  # decay of the learning rate; null: constant

    @field_validator("rho", "momentum", "nesterov", "beta_1", "beta_2", "initial_accumulator", "epsilon")
    @classmethod
    def _check_parameter(cls, value: T, info: ValidationInfo) -> T:
        name, key = info.data.get("name"), str(info.field_name)
        if name is not None and key not in _PARAMETERS[name] and value != cls.model_fields[key].default:
            raise ValueError(f"is not a parameter of {name}, which has learning_rate, {', '.join(_PARAMETERS[name])}")
        return value

    def settings(self) -> dict[str, Any]:
        """The name of the optimizer, and the values of the parameters that it has."""
        keys = ("name", "learning_rate", *_PARAMETERS[self.name])
        return {key: getattr(self, key) for key in keys}


class EarlyStopping(Strict):
    """A replica stops when its validation loss has not fallen by `min_delta` for `patience` epochs.

    It keeps the weights of its best epoch. Each replica stops independently of the others in its pack.
    """

    patience: Positive  # number of epochs without improvement after which a replica stops
    # smallest decrease of the validation loss that counts as an improvement
    min_delta: Annotated[float, Field(ge=0)] = 0.0


HiddenLayers = Annotated[tuple[Annotated[int, Field(gt=0, le=65536)], ...], Field(min_length=1)]  # units


class Network(Strict):
    """The hidden layers, in several sizes; a variant picks one by name. The model divides the features by `scale`."""

    sizes: Annotated[dict[Name, HiddenLayers], Field(min_length=1)]  # units of the hidden layers, by name
    # activation of the hidden layers: `relu`, `tanh`, `sigmoid`, `elu`, `gelu` or `silu`
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"] = "relu"
    scale: Annotated[float, Field(gt=0)] = 1.0  # divisor that the model applies to the features; 1 for texts


class Holdout(Strict):
    """The training samples that are held out for validation. Under protocol `fair`, the seed of a run draws them.

    The split is fixed under protocol `lecture` and for promotion: it holds out the first or the last samples.
    """

    take: Literal["first", "last"]  # `first` or `last`: which training samples a fixed split holds out
    samples: Positive  # number of samples to hold out


class Final(Strict):
    """The final model: a variant trained on all training samples and evaluated once on the test split."""

    variant: Name  # the variant of the final model
    epochs: Positive  # passes over the training samples


class Lecture(Strict):
    """Training as on the slides of the lecture."""

    variants: Annotated[Distinct[Name], Field(min_length=1)]  # variants shown on the slides
    validated_on_test: Distinct[Name] = ()  # variants that train on all samples and validate on the test split


class Training(Strict):
    """How the variants of a dataset are trained."""

    variants: Annotated[Distinct[Name], Field(min_length=1)] | None = None  # variants to compare; null: all
    epochs: Positive  # passes over the training samples
    batch_size: Annotated[int, Field(gt=0, le=65536)]  # samples per step (65,536 at most: row numbers are uint16)
    optimizer: Optimizer = Optimizer()  # how weights are updated
    # when replicas stop early; null: never (the final model always trains for `final.epochs` epochs)
    early_stopping: EarlyStopping | None = None
    validation: Holdout  # the training samples that are held out
    # share of the training samples to use, chosen at random by seed; a smaller share is a subset of a larger one
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    final: Final  # the model that is evaluated on the test split
    lecture: Lecture | None = None  # training as on the slides (protocol `lecture`)


class Variant(Strict):
    """The changes that a variant makes; the defaults change nothing, so `original` is {}."""

    size: Name = "base"  # a key in `network.sizes`
    l2: Annotated[float, Field(ge=0, le=10)] = 0.0  # L2 penalty on the kernels of the hidden layers
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of units dropped after each hidden layer
