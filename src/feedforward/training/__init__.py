"""Keras, TensorFlow and Numba: building networks and training replicas side by side.

    trainer.fit → packed_model → replica_stack, sparse_layer → kernels

Belongs here: everything that determines the weights of a run; only here are Keras, TensorFlow (`keras_backend`) and
Numba (`kernels`) used.
Does not belong here: planning experiments, recording runs (`experiments`), and metrics (`models.metrics`).
"""
