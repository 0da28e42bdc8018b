"""`promotion`, `serving` and `retraining`: what happens to a model after training."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Block, Bytes, Cron, Positive, PublicKey, Share, Strict, TimeZone


class ShadowRule(Strict):
    """Evidence from the shadow that is required before a challenger replaces the champion."""

    requests: Positive = 500  # minimum number of requests that were also sent to the challenger
    # minimum share of the samples on which both versions agree; a refused request counts as disagreement
    agreement: Share = 0.97


class Promotion(Strict):
    """When a challenger replaces the champion. By default, a sound model only has to be significantly better."""

    # minimum for the lower bound of the confidence interval of the reduction in validation cross-entropy, in nats
    minimum_gain: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # confidence level of the interval for the reduction
    # number of models trained without the validation split, one per seed, as evidence for the final model
    holdout_models: Annotated[int, Field(ge=1, le=100)] = 3
    class_accuracy: Share = 0.0  # minimum accuracy on the validation samples of each class
    minimum_r2: Share = 0.0  # for regression: minimum R² on the validation samples
    max_bytes: Bytes = 2**30  # maximum size of the files that the service reads, in bytes
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # maximum latency for one sample, in ms
    # public key (from `feedforward keys`) for verifying signatures; null: versions are neither signed nor verified
    key: PublicKey | None = None
    shadow: ShadowRule | None = None  # shadow results required before a challenger is promoted; null: none


class Serving(Strict):
    """Settings and limits of the prediction service."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # port of the service on 127.0.0.1
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # seconds between checks of the model registry
    max_body_bytes: Positive = 8 * 2**20  # maximum size of a request body, in bytes
    max_samples: Positive = 1000  # maximum number of samples per request
    max_text_bytes: Positive = 2**18  # maximum size of a text, in bytes; for images, the limit is `max_body_bytes`
    max_feedback_bytes: Bytes = 2**26  # maximum size of each dataset's file of user-submitted samples, in bytes
    # `challenger`: the challenger also answers each request, but callers never see its answers; null: off
    shadow: Literal["challenger"] | None = None
    canary: Share = 0.0  # share of requests answered by the challenger instead of the champion
    # number of encoded samples kept per dataset and window, for comparison with the training data; 0: none
    reservoir: Annotated[int, Field(ge=0, le=10_000)] = 0
    reservoir_seconds: Annotated[float, Field(gt=0)] = 3600.0  # minimum duration of a window of requests, in seconds


class Drift(Strict):
    """How far incoming samples may be from training data; distances range from 0 (equal distributions) to 1."""

    label: Share = 0.2  # maximum Jensen–Shannon distance between the class shares
    # maximum Kolmogorov–Smirnov distance for any feature, the number of non-zero features, or the sample length
    feature: Share = 0.2
    # probability of a false alarm when nothing has drifted, for all distances combined
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01


class Schedule(Strict):
    """When the retraining flow starts; without `cron` it never starts on a schedule."""

    cron: Cron | None = None  # cron expression: minute, hour, day, month, weekday; null: never
    timezone: TimeZone = "UTC"  # time zone of `cron`
    pool: Literal["cpu", "gpu"] = "cpu"  # Prefect work pool for scheduled runs


class Retraining(Strict):
    """When and where the retraining flow trains."""

    use_feedback: bool = False  # also train on labeled samples that users submitted
    review: bool = False  # use only user-submitted samples that a reviewer accepted with `feedforward feedback`
    minimum_new_samples: Positive = 100  # number of new labeled samples, in one dataset, that triggers retraining
    # age of the champion, in days, after which even one new sample triggers retraining
    max_age: Annotated[float, Field(gt=0)] = 30.0
    drift: Drift = Drift()  # thresholds above which incoming samples count as drifted
    schedule: Schedule = Schedule()  # when the retraining flow starts
    gpus: Positive = 1  # maximum number of concurrent training runs on GPUs, each on its own GPU
    cpu_fallback: bool = False  # train on the CPU if a GPU is requested but not available
    # Prefect block (TYPE/NAME) for messages after a retraining and for alerts; null: a log entry or, for alerts, a file
    notify: Block | None = None
