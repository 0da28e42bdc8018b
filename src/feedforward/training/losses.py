"""Compute loss and score of a pack from its logits, which have the shape (replicas, samples, outputs).

The results for a replica are bit-identical, regardless of the number of replicas in the pack.
"""

from feedforward.training.keras_backend import tf

VECTOR = 16  # float32 values; a multiple of the vector width of every CPU


def cross_entropy(activation: str, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The loss of each sample without penalties (the squared error of linear outputs), shape (replicas, samples).

    activation: the name of the last layer's activation. labels: shape (samples,) or (samples, outputs).
    """
    samples = tf.shape(labels)[0]
    labels = tf.pad(labels, [(0, -samples % VECTOR), *[(0, 0)] * (labels.shape.rank - 1)])
    return _LOSSES[activation](labels, _pad(logits))[:, :samples]


def score(activation: str, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The sum of the samples' scores: float32, shape (replicas,).

    Score for classification: 1 if the most probable class is correct, otherwise 0. For multi-label data: the fraction
    of correct labels. For regression: the absolute error.
    """
    if labels.dtype.is_floating:
        values = tf.sigmoid(_pad(logits))[:, : tf.shape(labels)[0]] if activation == "sigmoid" else logits
        return tf.reduce_sum(tf.abs(values[..., 0] - labels), -1)
    outputs = logits.shape[-1]
    if labels.shape.rank == 2:
        correct = tf.reduce_sum(tf.cast((logits > 0) == (labels > 0), tf.float32), (1, 2))
        return correct / float(outputs)
    predicted = tf.cast(logits[..., 0] > 0, tf.int32) if outputs == 1 else tf.argmax(logits, -1, tf.int32)
    return tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.float32), -1)


def _pad(logits: tf.Tensor) -> tf.Tensor:
    """Pad the samples to a multiple of VECTOR.

    A remainder would be computed by different code, which can change the last bits, and the position of the remainder
    would depend on the number of replicas.
    """
    return tf.pad(logits, [(0, 0), (0, -tf.shape(logits)[1] % VECTOR), (0, 0)])


def _targets(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The labels, shape (samples,) or (samples, outputs), broadcast to every output of every replica."""
    labels = tf.cast(labels, tf.float32)
    return tf.broadcast_to(labels[:, None] if labels.shape.rank == 1 else labels, tf.shape(logits))


def _binary_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(_targets(labels, logits), logits), -1)


def _squared_error(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(logits - _targets(labels, logits)), -1)


def _categorical_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    labels = tf.broadcast_to(tf.cast(labels, tf.int32), tf.shape(logits)[:-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


# last activation → loss, as in Keras, but computed from logits, so that no logarithm overflows
_LOSSES = {"sigmoid": _binary_cross_entropy, "softmax": _categorical_cross_entropy, "linear": _squared_error}
