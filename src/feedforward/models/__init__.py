"""Trained networks as NumPy arrays: the forward pass, metrics of its answers, and attribution. No TensorFlow.

Belongs here: what needs a finished network but no training library: serving, promotion and reports use it.
Does not belong here: building and training networks (`training`), or how a model is packaged (`promotion.bundle`).
"""
