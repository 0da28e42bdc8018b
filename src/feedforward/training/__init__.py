"""Keras, TensorFlow and Numba: building networks and training replicas side by side.

    trainer.fit → packed_model → replica_stack, sparse_layer → kernels

Belongs here: everything that decides the weights of a run; the only uses of Keras, TensorFlow (`keras_backend`) and
Numba (`kernels`).
Does not belong here: the plan of an experiment, the recording of runs (`experiments`), and metrics (`models.metrics`).
"""
