"""`promotion`, `serving` and `retraining`: what happens to a model after training."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Block, Bytes, Cron, Positive, PublicKey, Share, Strict, TimeZone


class ShadowRule(Strict):
    """What the shadow must have seen before a challenger replaces the champion."""

    requests: Positive = 500  # number of requests that both versions have answered
    agreement: Share = 0.97  # least share of their samples with the same answer


class Promotion(Strict):
    """When a challenger replaces the champion. The defaults accept every sound model that is not worse."""

    # least reduction of validation cross-entropy (nats): the lower bound of the gain's interval must reach it
    minimum_gain: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # confidence level of the interval of the gain
    # models trained without the validation split, one per seed, as evidence for the final model
    holdout_models: Annotated[int, Field(ge=1, le=100)] = 3
    class_accuracy: Share = 0.0  # lowest accuracy allowed on the validation samples of each class
    minimum_r2: Share = 0.0  # lowest R² allowed for a regression on the validation samples
    max_bytes: Bytes = 2**30  # largest size allowed for the served folder, in bytes
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # largest latency allowed for one sample, in ms
    # public key, as `feedforward keys` prints it, with which versions must be signed; null: not signed, not checked
    key: PublicKey | None = None
    shadow: ShadowRule | None = None  # evidence of the shadow that a challenger needs; null: none


class Serving(Strict):
    """Limits of the service and of what it accepts."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # port of the service on 127.0.0.1
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # seconds between two checks of the registry
    max_body_bytes: Positive = 8 * 2**20  # largest request body, in bytes
    max_samples: Positive = 1000  # largest number of samples per request
    max_text_bytes: Positive = 2**18  # largest text, in bytes; a single picture may fill the request
    max_feedback_bytes: Bytes = 2**26  # largest file of labeled samples kept for retraining, in bytes per dataset
    # `challenger`: the challenger answers each request a second time, which no caller sees; null: off
    shadow: Literal["challenger"] | None = None
    canary: Share = 0.0  # share of the requests that the challenger answers instead of the champion
    # number of encoded requests of a window that are compared with the training data, per dataset; 0: none are kept
    reservoir: Annotated[int, Field(ge=0, le=10_000)] = 0
    reservoir_seconds: Annotated[float, Field(gt=0)] = 3600.0  # shortest length of such a window, in seconds


class Drift(Strict):
    """How far incoming samples may be from training data; distances range from 0 (equal distributions) to 1."""

    label: Share = 0.2  # largest Jensen–Shannon distance between the class shares
    # largest Kolmogorov–Smirnov distance of any feature, of the number of features, or of a sample's length
    feature: Share = 0.2
    # probability of reporting drift for samples without drift, over all distances together
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01


class Schedule(Strict):
    """When the retraining flow starts; without `cron` it never starts on a schedule."""

    cron: Cron | None = None  # minute hour day month weekday; null: never
    timezone: TimeZone = "UTC"  # time zone of `cron`
    pool: Literal["cpu", "gpu"] = "cpu"  # Prefect work pool of scheduled runs


class Retraining(Strict):
    """What makes the retraining flow train, and where."""

    use_feedback: bool = False  # also train on the labeled samples from users
    review: bool = False  # of these samples, use only those that a person accepted with `feedforward feedback`
    minimum_new_samples: Positive = 100  # number of new labeled samples of a dataset that starts a training
    # age of the champion, in days, that starts a training if there are new samples
    max_age: Annotated[float, Field(gt=0)] = 30.0
    drift: Drift = Drift()  # bounds beyond which incoming samples count as drifted
    schedule: Schedule = Schedule()  # when the retraining flow starts
    gpus: Positive = 1  # number of simultaneous trainings on GPUs, each on a separate device
    cpu_fallback: bool = False  # train on the CPU if a GPU is requested and there is none
    notify: Block | None = None  # Prefect block that sends a message after each retraining; null: only a log entry
