"""Build a variant's Keras model for a dataset, as in the lecture: hidden layers and one output layer."""

from feedforward.config.schema import Dataset, Variant
from feedforward.config.tasks import TASKS
from feedforward.training.keras_backend import keras


def build(dataset: Dataset, variant: Variant, features: int, seed: int) -> keras.Model:
    """Build the network of `variant`, initialized from `seed` (Glorot uniform kernels, zero biases: Keras's defaults).

    Input: raw features, shape (samples, features), any numeric dtype; the first layer divides them by `network.scale`.
    Output: probabilities or, for regression, values: float32, shape (samples, outputs).
    """
    network, task = dataset.network, TASKS[dataset.task]
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
            task.outputs(len(dataset.labels)),
            activation=task.activation,
            kernel_initializer=_initializer(seed, 0),
            name="output",
        )
    )
    return keras.Sequential(layers, name="feedforward")


def _initializer(seed: int, layer: int) -> keras.Initializer:
    """An initializer with a different seed for each layer, because layers of equal shape must not get equal weights."""
    return keras.initializers.GlorotUniform(seed=seed * 1000 + layer)
