"""`promotion`, `serving` and `retraining`: what happens to a model after it was trained."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Block, Bytes, Cron, Positive, Share, Strict, TimeZone


class Promotion(Strict):
    """When a challenger replaces the champion. The defaults accept every sound model that is not worse."""

    minimum_gain: Annotated[float, Field(ge=0)] = 0.0  # of validation cross-entropy (nats), by the interval's low end
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95  # of that interval
    # models trained without the validation split, one per seed, as evidence for the final model
    holdout_models: Annotated[int, Field(ge=1, le=100)] = 3
    class_accuracy: Share = 0.0  # on the validation samples of each class, at least
    minimum_r2: Share = 0.0  # R² of a regression on the validation samples
    max_bytes: Bytes = 2**30  # of the served folder
    max_latency: Annotated[float, Field(gt=0)] = 1000.0  # ms for one sample


class Serving(Strict):
    """Limits of the service and of what it accepts."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # of the service on 127.0.0.1
    refresh: Annotated[float, Field(gt=0, le=3600)] = 2.0  # seconds between two checks of the registry
    max_body_bytes: Positive = 8 * 2**20  # of a request
    max_samples: Positive = 1000  # of a request
    max_text_bytes: Positive = 2**18  # of one text; one picture may fill the request
    max_feedback_bytes: Bytes = 2**26  # labeled samples kept for retraining, per dataset


class Drift(Strict):
    """How far incoming samples may be from training data; distances are from 0 (alike) to 1."""

    label: Share = 0.2  # Jensen–Shannon distance between the shares of the classes
    feature: Share = 0.2  # Kolmogorov–Smirnov distance of any feature, of their number, or of a sample's length
    # probability that samples without drift are reported as drifted, over all measurements
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01


class Schedule(Strict):
    """When the retraining flow starts; cron None: never on a schedule."""

    cron: Cron | None = None  # minute hour day month weekday; null: never
    timezone: TimeZone = "UTC"  # time zone of `cron`
    pool: Literal["cpu", "gpu"] = "cpu"  # Prefect work pool of scheduled runs


class Retraining(Strict):
    """What makes the retraining flow train, and where."""

    use_feedback: bool = False  # train on the labeled samples from users, too
    minimum_new_samples: Positive = 100  # such samples of a dataset that start a training
    max_age: Annotated[float, Field(gt=0)] = 30.0  # days of a champion, if there is anything new to learn
    drift: Drift = Drift()  # bounds beyond which incoming samples count as drifted
    schedule: Schedule = Schedule()  # when the retraining flow starts
    gpus: Positive = 1  # trainings on GPUs at a time, each on its own device
    cpu_fallback: bool = False  # train on the CPU if a GPU is requested and there is none
    notify: Block | None = None  # a Prefect block that sends messages; None: the log alone
