"""From a finished final run to the champion: bundle, evaluation of the challenger, decision, audit log.

    candidate → evaluation → policy → promote

Belongs here: what is packaged with a model, what a challenger must prove, and every move of the `champion` alias.
Does not belong here: answering requests (`serving`), deciding when to train (`retraining`).
"""
