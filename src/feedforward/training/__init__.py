"""Keras, TensorFlow and Numba: building networks and training replicas side by side.

    trainer.fit → packed_model → replica_stack, sparse_layer → kernels

Belongs here: everything that determines a run's weights. Keras, TensorFlow (`keras_backend`) and Numba (`kernels`) are
used only here.
Does not belong here: planning experiments, recording runs (`experiments`), and metrics (`models.metrics`).
"""
