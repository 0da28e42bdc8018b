"""Trained networks as NumPy arrays, without TensorFlow: the forward pass, metrics of predictions, and attribution.

Belongs here: code that needs a trained network but no training library; serving, promotion and experiments use it.
Does not belong here: building and training networks (`training`), or how a model is packaged (`promotion.bundle`).
"""
