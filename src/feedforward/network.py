"""A variant of a data set as a Keras model: the lecture's template, hidden layers and one output layer."""

from dataclasses import dataclass

import keras

from feedforward.params import Dataset, Variant


@dataclass(frozen=True)
class Task:
    """What the lecture's table says of a task: last activation and loss, by their Keras names."""

    activation: str
    loss: str


TASKS = {
    "binary": Task("sigmoid", "binary_crossentropy"),
    # labels stay class numbers: the same mathematics as one-hot labels and categorical cross-entropy
    "multiclass": Task("softmax", "sparse_categorical_crossentropy"),
}


def outputs(dataset: Dataset) -> int:
    """Units of the output layer: one for a binary task, else one a label."""
    return 1 if dataset.task == "binary" else len(dataset.labels)


def build(dataset: Dataset, variant: Variant, features: int, seed: int) -> keras.Model:
    """The network of `variant`, initialised from `seed` (Glorot uniform kernels, zero biases, as Keras does).

    Takes (samples, features) raw features, any numeric dtype; the division by `network.scale` is its first
    layer. Gives (samples, outputs) probabilities, float32.
    """
    network = dataset.network
    layers: list[keras.Layer] = [
        keras.Input((features,), name="features"),
        keras.layers.Rescaling(1.0 / network.scale, name="scale"),
    ]
    for number, units in enumerate(network.sizes[variant.size], start=1):
        layers += [
            keras.layers.Dense(
                units,
                activation=network.activation,
                kernel_initializer=_initializer(seed, number),
                kernel_regularizer=keras.regularizers.L2(variant.l2),
                name=f"hidden_{number}",
            ),
            keras.layers.Dropout(variant.dropout_rate, seed=seed, name=f"dropout_{number}"),
        ]
    layers.append(
        keras.layers.Dense(
            outputs(dataset),
            activation=TASKS[dataset.task].activation,
            kernel_initializer=_initializer(seed, 0),
            name="output",
        )
    )
    return keras.Sequential(layers, name="feedforward")


def _initializer(seed: int, layer: int) -> keras.Initializer:
    """A seed of its own for each replica and layer: equal shapes must not get equal numbers."""
    return keras.initializers.GlorotUniform(seed=seed * 1000 + layer)
