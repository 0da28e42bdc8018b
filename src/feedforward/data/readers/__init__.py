"""Readers: raw files → features and labels; encoders: one raw sample → one row of features.

A reader is a module with `read(config, files) -> Reading`; `reader.kind` in params.yaml selects it, and `reading` calls
it. What a reader derives from the training rows (vocabulary, means, categories) is stored with the model as an encoder,
so that samples are encoded in the service as they were in training.
Does not belong here: where files come from (`sources`), and whether the data are good (`validation`).
"""
