"""`promotion`, `serving` and `retraining`: what happens to a model after training."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Block, Bytes, Cron, Positive, PublicKey, Share, Strict, TimeZone


class ShadowRule(Strict):
    """Evidence from the shadow that is required before a challenger replaces the champion."""

    requests: Positive = 500  # number of requests that both versions must have answered
    agreement: Share = 0.97  # smallest share of their samples for which both versions predict the same


class Promotion(Strict):
    """When a challenger replaces the champion. The defaults accept every sound model that is not worse."""

    # gain (reduction of validation cross-entropy, in nats) that the lower bound of its interval must reach
    minimum_gain: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # confidence level of the interval for the gain
    # models trained without the validation split, one per seed, as evidence for the final model
    holdout_models: Annotated[int, Field(ge=1, le=100)] = 3
    class_accuracy: Share = 0.0  # lowest accuracy allowed on the validation samples of each class
    minimum_r2: Share = 0.0  # lowest R² allowed on the validation samples, for regression
    max_bytes: Bytes = 2**30  # largest size allowed for the served folder, in bytes
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # largest latency allowed for one sample, in ms
    # public key, as printed by `feedforward keys`, that verifies signed versions; null: neither signed nor checked
    key: PublicKey | None = None
    shadow: ShadowRule | None = None  # evidence from the shadow that a challenger needs; null: none needed


class Serving(Strict):
    """Settings and limits of the service."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # port of the service on 127.0.0.1
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # seconds between checks of the registry
    max_body_bytes: Positive = 8 * 2**20  # largest request body, in bytes
    max_samples: Positive = 1000  # largest number of samples per request
    max_text_bytes: Positive = 2**18  # largest text, in bytes; an image may be as large as the request
    max_feedback_bytes: Bytes = 2**26  # largest file of labeled samples kept for retraining, in bytes per dataset
    # `challenger`: the challenger also answers each request, but callers never see its answers; null: off
    shadow: Literal["challenger"] | None = None
    canary: Share = 0.0  # share of requests that the challenger answers instead of the champion
    # number of encoded requests kept per window and dataset, to be compared with the training data; 0: none
    reservoir: Annotated[int, Field(ge=0, le=10_000)] = 0
    reservoir_seconds: Annotated[float, Field(gt=0)] = 3600.0  # shortest duration of a window of requests, in seconds


class Drift(Strict):
    """How far incoming samples may be from training data; distances range from 0 (equal distributions) to 1."""

    label: Share = 0.2  # largest Jensen–Shannon distance between the class shares
    # largest Kolmogorov–Smirnov distance for any feature, the number of non-zero features, or a sample's length
    feature: Share = 0.2
    # probability of reporting drift for samples without drift, over all distances combined
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01


class Schedule(Strict):
    """When the retraining flow starts; without `cron` it never starts on a schedule."""

    cron: Cron | None = None  # minute hour day month weekday; null: never
    timezone: TimeZone = "UTC"  # time zone of `cron`
    pool: Literal["cpu", "gpu"] = "cpu"  # Prefect work pool for scheduled runs


class Retraining(Strict):
    """When and where the retraining flow trains."""

    use_feedback: bool = False  # also train on the labeled samples from users
    review: bool = False  # use only samples from users that a person has accepted with `feedforward feedback`
    minimum_new_samples: Positive = 100  # number of new labeled samples in a dataset that triggers training
    # age of the champion, in days, that triggers training if there are new samples
    max_age: Annotated[float, Field(gt=0)] = 30.0
    drift: Drift = Drift()  # bounds beyond which incoming samples count as drifted
    schedule: Schedule = Schedule()  # when the retraining flow starts
    gpus: Positive = 1  # maximum number of simultaneous GPU trainings, each on a separate device
    cpu_fallback: bool = False  # train on the CPU if a GPU is requested but not available
    notify: Block | None = None  # Prefect block that sends a message after each retraining; null: only a log entry
