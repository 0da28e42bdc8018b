"""Readers: raw files → features and labels; encoders: one raw sample → one row of features.

A reader is a module with `read(config, files) -> Reading`; `params.yaml` names its kind (`reader.kind`) and `reading`
finds it. What a reader learns from the training rows (vocabulary, means, categories) travels with the model as an
encoder, so that a sample is read in service as it was in training.
Does not belong here: where files come from (`sources`), and whether the data are good (`validation`).
"""
