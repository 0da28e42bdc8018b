"""feedforward: train variants of feedforward networks, compare them over seeds, serve the winner."""

__version__ = "0.1.0"
