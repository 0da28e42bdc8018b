# ruff: noqa: E501
"""Common mistakes in params.yaml and on the command line, with (parts of) the messages that must report them."""

from collections.abc import Mapping
from typing import Any

REMOVED = ...  # the key is removed

# Each row: a key in params.yaml (nested keys and indexes are separated by /), its new value, and the expected message.
PARAMS: tuple[tuple[Any, Any, str], ...] = (
    # --- unknown and missing keys
    ("colour", "red", "colour: unknown key"),
    ("sedes", 5, "sedes: unknown key; did you mean seeds?"),
    ("datasets/imdb/training/batchsize", 5, "datasets.imdb.training.batchsize: unknown key; did you mean batch_size?"),
    ("variants/dropout/droput_rate", 0.5, "variants.dropout.droput_rate: unknown key; did you mean dropout_rate?"),
    ("line\nbreak \x1b[31m", 1, r"'line\nbreak \x1b[31m': unknown key"),
    (7, 1, "7: a key must be text"),
    ("seeds", REMOVED, "seeds: is missing"),
    ("variants", REMOVED, "variants: is missing"),
    ("datasets/mnist/reader/train/labels", REMOVED, "datasets.mnist.reader.train.labels: is missing"),
    ("datasets/imdb/training/final", REMOVED, "datasets.imdb.training.final: is missing"),
    ("datasets/imdb/reader/kind", REMOVED, "datasets.imdb.reader: needs a 'kind'"),
    ("datasets/imdb/reader/num_word", 5, "datasets.imdb.reader.num_word: unknown key; did you mean num_words?"),
    ("datasets/imdb/reader/heigth", 5, "datasets.imdb.reader.heigth: unknown key; did you mean height?"),
    ("datasets/imdb/reader/numeric", ("size",), "datasets.imdb.reader.numeric: unknown key; it belongs to the kind table"),
    ("datasets/mnist/epochs", 5, "datasets.mnist.epochs: unknown key; it belongs to another section"),
    # --- values that make a run impossible, or its results meaningless
    ("datasets/imdb/network/scale", 100, "datasets.imdb.network.scale: must be 1 for texts"),
    ("datasets/mnist/network/sizes", {}, "datasets.mnist.network.sizes: its length must be at least 1, got {}"),
    ("datasets/mnist/training/variants", (), "datasets.mnist.training.variants: its length must be at least 1, got ()"),
    ("datasets/mnist/training/lecture/variants", (), "datasets.mnist.training.lecture.variants: its length must be at least 1, got ()"),
    ("datasets/imdb/claims/1/right", "smaller", "datasets.imdb.claims.1.right: must differ from `left`, got smaller"),
    ("datasets/imdb/claims/7/left", "smaller", "datasets.imdb.claims.7.left: only training.final.variant (original) is evaluated on the test split, got smaller"),
    ("datasets/imdb/training/variants", ("original", "dropout"), "datasets.imdb.claims.0.left: must be one of training.variants, got smaller"),
    ("datasets/imdb/claims/1/statistic", "best_val_mae", "datasets.imdb.claims.1.statistic: best_val_mae is not defined for `task: binary`"),
    ("datasets/mnist/margins/test_mae", 0.1, "datasets.mnist.margins.test_mae: test_mae is not defined for `task: multiclass`"),
    ("datasets/mnist/expectations/target", (0, 9), "datasets.mnist.expectations.target: is not defined for `task: multiclass`; remove the key"),
    ("datasets/imdb/reader/split_seed", 3, "datasets.imdb.reader.split_seed: is for a test split that is drawn at random, but the reader names one"),
    ("datasets/imdb/reader/missing", ("?",), "datasets.imdb.reader.missing: is for columns; with class folders, remove the key"),
    ("datasets/imdb/reader/test_file", "aclImdb_v1.tar.gz", "datasets.imdb.reader.test_file: is for columns; with class folders, use `test`"),
    ("datasets/mnist/files/train-labels-idx1-ubyte.gz/file_count", 3, "datasets.mnist.files.train-labels-idx1-ubyte.gz.file_count: is allowed only with `archive: tar` or `folder`, got 3"),
    ("datasets/mnist/training/optimizer", {"decay": {"kind": "cosine", "factor": 0.5}}, "datasets.mnist.training.optimizer.decay.factor: is allowed only with `kind: exponential`, got 0.5"),
    ("project", "My project", "project: must match"),
    ("retraining/schedule/cron", "0 25 * * *", "retraining.schedule.cron: must be a cron expression"),
    ("retraining/schedule/cron", "*/0 * * * *", "retraining.schedule.cron: must be a cron expression"),
    ("retraining/schedule/cron", "0 3 31 2 *", "retraining.schedule.cron: must be a cron expression that matches some date"),
    # --- wrong types
    ("seeds", "5", "seeds: must be a whole number, got 5"),
    ("seeds", 5.0, "seeds: must be a whole number, got 5.0"),
    ("seeds", True, "seeds: must be a whole number, got True"),
    ("seeds", None, "seeds: must be a whole number, got None"),
    ("datasets", (), "datasets: must be keys and values, got ()"),
    ("datasets/mnist/labels/3", 3, "datasets.mnist.labels.3: must be text, got 3"),
    ("datasets/mnist/network/sizes/base", 512, "datasets.mnist.network.sizes.base: must be a list, got 512"),
    ("datasets/mnist/demo", "no", "datasets.mnist.demo: must be true or false, got no"),
    ("variants/l2/l2", "1e-3", "variants.l2.l2: must be a number, got 1e-3"),
    ("mirrors", "s3://user:canary@host", "mirrors: must be a list, got s3://***@host"),
    ("mirrors", ("s3://user:canary@host",), "mirrors.0: must contain no secret, which git and dvc.lock would keep, got s3://***@host"),
    ("datasets/mnist/files/train-images-idx3-ubyte.gz/urls", ("https://h.example/f.gz?pass=canary",), "datasets.mnist.files.train-images-idx3-ubyte.gz.urls.0: must contain no secret, which git and dvc.lock would keep, got https://h.example/f.gz?pass=***"),
    ("datasets/imdb/reader/kind", "csvs", "datasets.imdb.reader: 'kind' must be one of 'idx', 'labeled_text'"),
    # --- out of range
    ("seeds", 0, "seeds: must be at least 1, got 0"),
    ("seeds", 1001, "seeds: must be at most 1000, got 1001"),
    ("data_order_seed", 0, "data_order_seed: was removed: each seed draws its own order of the batches; delete the line"),
    ("pack_units", 10**30, f"pack_units: must be below 2147483648, got {10**30}"),
    ("variants/dropout/dropout_rate", 1, "variants.dropout.dropout_rate: must be below 1, got 1"),
    ("variants/l2/l2", -0.1, "variants.l2.l2: must be at least 0, got -0.1"),
    ("variants/l2/l2", float("nan"), "variants.l2.l2: must be a finite number, got nan"),
    ("datasets/imdb/network/scale", float("inf"), "datasets.imdb.network.scale: must be a finite number, got inf"),
    ("datasets/mnist/network/scale", 0, "datasets.mnist.network.scale: must be above 0, got 0"),
    ("datasets/mnist/network/sizes/base", (), "datasets.mnist.network.sizes.base: its length must be at least 1"),
    ("datasets/mnist/network/sizes/base/0", 65537, "datasets.mnist.network.sizes.base.0: must be at most 65536, got 65537"),
    ("datasets/imdb/training/batch_size", 65537, "datasets.imdb.training.batch_size: must be at most 65536, got 65537"),
    ("datasets/imdb/training/epochs", -4, "datasets.imdb.training.epochs: must be above 0, got -4"),
    ("datasets/imdb/training/optimizer", {"learning_rate": 0}, "datasets.imdb.training.optimizer.learning_rate: must be above 0, got 0"),
    ("datasets/imdb/training/optimizer", {"name": "adamw"}, "datasets.imdb.training.optimizer.name: must be 'rmsprop', 'sgd', 'adagrad' or 'adam', got adamw"),
    ("datasets/imdb/reader/num_words", 70000, "datasets.imdb.reader.num_words: must be at most 65536, got 70000"),
    ("datasets/imdb/expectations/class_share/1", 1.5, "datasets.imdb.expectations.class_share.1: must be at most 1, got 1.5"),
    ("datasets/imdb/expectations/overlap", -1, "datasets.imdb.expectations.overlap: must be at least 0, got -1"),
    ("datasets/mnist/labels", ("0",), "datasets.mnist.labels: their number must be at least 2 for `task: multiclass`, got 1"),
    ("serving/port", 65536, "serving.port: must be at most 65535, got 65536"),
    ("promotion/confidence", 1, "promotion.confidence: must be below 1, got 1"),
    ("retraining/schedule/cron", "daily", "retraining.schedule.cron: must match"),
    ("retraining/schedule/timezone", "Mars/Base", "retraining.schedule.timezone: must be a time zone, for instance Europe/Berlin, got Mars/Base"),
    ("retraining/schedule/timezone", "../../etc/passwd", "retraining.schedule.timezone: must be a time zone"),
    ("retraining/notify", "mail", "retraining.notify: must match"),
    ("protocols", (), "protocols: its length must be at least 1"),
    ("variants", {}, "variants: its length must be at least 1"),
    # --- names and texts
    ("variants/Big One", {}, "variants.Big One: must match ^[a-z][a-z0-9_-]{0,62}$, got Big One"),
    ("datasets/imdb/files/..%2fetc", {}, "datasets.imdb.files...%2fetc: must match"),
    ("datasets/mnist/files/train-labels-idx1-ubyte.gz/sha256", "65A5", "datasets.mnist.files.train-labels-idx1-ubyte.gz.sha256: must match ^[0-9a-f]{64}$, got 65A5"),
    ("mirrors", ("a\0b",), r"mirrors.0: must match ^[^\x00-\x1f]+$, got 'a\x00b'"),
    ("datasets/mnist/labels/1", "0", "datasets.mnist.labels: must not contain duplicates, got ('0', '0', '2'"),
    ("datasets/imdb/title", "IMDb\nreviews", r"datasets.imdb.title: must match ^[^\p{Cc}\p{Zl}\p{Zp}]*$, got 'IMDb\nreviews'"),
    ("datasets/imdb/labels/0", "neg\x1b[31m", r"datasets.imdb.labels.0: must match ^[^\p{Cc}\p{Zl}\p{Zp}]*$, got 'neg\x1b[31m'"),
    ("datasets/imdb/claims/0/text", "a\u2028b", r"datasets.imdb.claims.0.text: must match ^[^\p{Cc}\p{Zl}\p{Zp}]*$, got 'a\u2028b'"),
    ("datasets/mnist/files/train-labels-idx1-ubyte", {}, "datasets.mnist.files: the content of train-labels-idx1-ubyte would be stored as train-labels-idx1-ubyte, which belongs to train-labels-idx1-ubyte.gz; give it another key"),
    ("datasets/imdb/files/aclImdb_v1.tar.gz.parquet", {}, "datasets.imdb.files: the content of aclImdb_v1.tar.gz.parquet would be stored as aclImdb_v1.tar.gz.parquet, which belongs to aclImdb_v1.tar.gz; give it another key"),
    ("datasets/imdb/files/digests.json", {}, "datasets.imdb.files: the content of digests.json would be stored as digests.json, which belongs to feedforward itself; give it another key"),
    ("datasets/imdb/files/digests.json.gz", {"archive": "gzip"}, "datasets.imdb.files: the content of digests.json.gz would be stored as digests.json, which belongs to feedforward itself; give it another key"),
    ("datasets/mnist/files/a.partial", {}, "datasets.mnist.files: the content of a.partial would be stored as a.partial, which belongs to files that are being written; give it another key"),
    ("protocols", ("fair", "fair"), "protocols: must not contain duplicates, got ('fair', 'fair')"),
    # --- contradictions
    ("variants/mean", {}, "variants.mean: must not be the name of a baseline; rename the variant"),
    ("variants/larger/size", "lagre", "variants.larger.size: must be one of base, small, large (datasets.imdb.network.sizes), got lagre; did you mean large?"),
    ("datasets/imdb/network/sizes/base", REMOVED, "variants.original.size: must be one of small, large (datasets.imdb.network.sizes), got base"),
    ("datasets/imdb/training/final/variant", "dropuot", "datasets.imdb.training.final.variant: must be one of original, smaller, larger, l2, dropout (variants), got dropuot; did you mean dropout?"),
    ("datasets/imdb/training/variants", ("orignal",), "datasets.imdb.training.variants.0: must be one of original, smaller, larger, l2, dropout (variants), got orignal; did you mean original?"),
    ("datasets/imdb/training/lecture/variants/4", "deeper", "datasets.imdb.training.lecture.variants.4: must be one of original, smaller, larger, l2, dropout (variants), got deeper"),
    ("datasets/mnist/training/lecture/validated_on_test", ("l2",), "datasets.mnist.training.lecture.validated_on_test.0: must be one of original (datasets.mnist.training.lecture.variants), got l2"),
    ("datasets/imdb/claims/0/left", "small", "datasets.imdb.claims.0.left: must be one of original, smaller, larger, l2, dropout (variants), got small; did you mean smaller?"),
    ("datasets/imdb/claims/1/right", "origin", "datasets.imdb.claims.1.right: must be one of original, smaller, larger, l2, dropout (variants), got origin; did you mean original?"),
    ("datasets/imdb/claims/1/right", REMOVED, "datasets.imdb.claims.1.value: a claim needs either `right` (a variant) or `value` (a number), got None"),
    ("datasets/imdb/claims/1/tolerance", 0.1, "datasets.imdb.claims.1.tolerance: is required with `direction: equal`, and not allowed otherwise, got 0.1"),
    ("datasets/imdb/reader/file", "aclImdb.tar.gz", "datasets.imdb.reader.file: must be one of aclImdb_v1.tar.gz (datasets.imdb.files), got aclImdb.tar.gz; did you mean aclImdb_v1.tar.gz?"),
    ("datasets/mnist/reader/test/labels", "labels", "datasets.mnist.reader.test.labels: must be one of train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz (datasets.mnist.files), got labels"),
    ("datasets/imdb/reader/classes", ("neg", "unsup", "pos"), "datasets.imdb.reader.classes: must have as many entries as labels (2), got 3"),
    ("datasets/imdb/reader/test", "aclImdb/tset", "datasets.imdb.reader.test: each class must be a folder of the file (aclImdb/train/neg, aclImdb/train/pos, aclImdb/test/neg, aclImdb/test/pos), got aclImdb/tset/neg"),
    ("datasets/imdb/labels", ("bad", "fair", "good"), "datasets.imdb.labels: their number must be 2 for `task: binary`, got 3"),
    ("datasets/imdb/files/aclImdb_v1.tar.gz/archive", "gzip", "datasets.imdb.files.aclImdb_v1.tar.gz.folders: is required with `archive: tar` or `folder`, and not allowed otherwise"),
    ("datasets/imdb/files/aclImdb_v1.tar.gz/archive", "none", "datasets.imdb.files.aclImdb_v1.tar.gz.archive: must be tar or folder for `kind: labeled_text`, got none"),
    ("datasets/imdb/expectations/nonzero_features", (1200, 5), "datasets.imdb.expectations.nonzero_features: must be the lowest value, then the highest, got (1200, 5)"),
    ("datasets/imdb/expectations/class_share", (0.6, 0.5), "datasets.imdb.expectations.class_share: must be the lowest value, then the highest"),
    ("datasets/imdb/expectations/train_samples", (2, 1), "datasets.imdb.expectations.train_samples: must be the lowest value, then the highest"),
    ("datasets/imdb/expectations/test_samples", (2, 1), "datasets.imdb.expectations.test_samples: must be the lowest value, then the highest"),
    ("datasets/imdb/expectations/value", (1.5, 0), "datasets.imdb.expectations.value: must be the lowest value, then the highest"),
    ("datasets/imdb/expectations/raw_length", (9, 8), "datasets.imdb.expectations.raw_length: must be the lowest value, then the highest"),
    ("datasets/imdb/training/validation/samples", 25000, "datasets.imdb.training.validation.samples: must be below expectations.train_samples (25000), got 25000"),
)  # fmt: skip


def _yaml_bomb(first: bytes, then: bytes) -> bytes:
    """Return a YAML bomb: forty lines, each of which refers to the previous line three times."""
    return b"a0: &a0 %s\n" % first + b"".join(b"a%d: &a%d %s\n" % (n, n, then % ((n - 1,) * 3)) for n in range(1, 40))


# Each row: the content of params.yaml, and a part of the expected message.
FILES: tuple[tuple[bytes, str], ...] = (
    (b"", "must hold keys and values, got nothing"),
    (b"- seeds", "must hold keys and values, got a list"),
    (b"seeds: 5\nseeds: 6", "line 2, column 1 is not valid YAML: found duplicate key \"seeds\""),
    (b"variants: {a: {}, a: {}}", "line 1, column 19 is not valid YAML: found duplicate key \"a\""),
    (b"seeds: [1", "line 2, column 1 is not valid YAML: "),
    (b"seeds:\t- 5", "line 1, column 8 is not valid YAML: block sequence entries are not allowed"),
    (b"seeds: 5\n---\nseeds: 6", "line 2, column 1 is not valid YAML: but found another document"),
    (b"seeds: !!python/object/apply:os.system [date]", "could not determine a constructor for the tag"),
    (b"seeds: !!int five", "is not valid YAML: invalid literal for int()"),
    (b"seeds: 2026-13-01", "is not valid YAML: month must be in 1..12"),
    (b"seeds: *five", "line 1, column 8 is not valid YAML: found undefined alias"),
    (b"seeds: \x01", "is not valid YAML: unacceptable character #x0001"),
    (b"seeds: 1\0", "is not valid YAML: unacceptable character #x0000"),
    (b"seeds: \xff", "cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ("seeds: 5".encode("utf-16"), "cannot be read: 'utf-8' codec can't decode byte 0xff"),
    (b"? {seeds: 5}\n: 5", "found unhashable key"),
    (b"seeds: " + b"9" * 5000, "line 1: a key or value must have at most 2000 characters, got 5000"),
    (b"seeds: &a [*a]", "line 1: *a refers to a value that contains it"),
    (b"&a {seeds: *a}", "line 1: *a refers to a value that contains it"),
    (b"seeds: " + b"[" * 100 + b"]" * 100, "line 1: values must be nested at most 20 deep"),
    (b"[" * 200_000, "line 1: values must be nested at most 20 deep"),
    (b"- " * 100_000, "line 1: values must be nested at most 20 deep"),
    (_yaml_bomb(b"[x]", b"[*a%d, *a%d, *a%d]"), "line 9: there must be at most 20000 keys and values; an alias counts as all its values"),
    (_yaml_bomb(b"[]", b"[*a%d, *a%d, *a%d]"), "there must be at most 20000 keys and values"),
    (_yaml_bomb(b"{x: 1}", b"{<<: [*a%d, *a%d, *a%d]}"), "there must be at most 20000 keys and values"),
    (b"labels: [married?, http://x]", "line 1, column "),
    (b"#" * 300_000, "must have at most 262144 bytes"),
)  # fmt: skip


def with_value(values: Mapping[str, Any], path: Any, value: Any) -> dict[str, Any]:
    """Return a copy of `values` with this value at `path` (keys and indexes, separated by slashes)."""

    def change(old: Any, keys: list[Any]) -> Any:
        if not keys:
            return value
        if isinstance(old, tuple):
            return tuple(change(item, keys[1:]) if str(index) == keys[0] else item for index, item in enumerate(old))
        new = dict(old)
        if value is REMOVED and len(keys) == 1:
            del new[keys[0]]
        else:
            new[keys[0]] = change(new.get(keys[0], {}), keys[1:])
        return new

    changed: dict[str, Any] = change(values, path.split("/") if isinstance(path, str) else [path])
    return changed


# Each row: a command line, run in a checkout that has data but no runs; the exit code; and a part of the message.
COMMANDS: tuple[tuple[tuple[str, ...], int, str], ...] = (
    ((), 2, ""),
    (("trian",), 2, "feedforward: No such command 'trian'. Did you mean 'train', 'retrain'?; see feedforward --help"),
    (("train", "--sedes", "3"), 2, "feedforward train: No such option: --sedes (Possible options: --seeds)"),
    (("train", "--variant"), 2, "Option '--variant' requires an argument"),
    (("train", "--seeds", "0"), 2, "Invalid value for '--seeds': Input should be greater than or equal to 1"),
    (("train", "--seeds", "1001"), 2, "Invalid value for '--seeds': Input should be less than or equal to 1000"),
    (("train", "--seeds", "many"), 2, "Invalid value for '--seeds': Input should be a valid integer"),
    (("train", "tone"), 2, "unknown dataset 'tone': must be one of tones, notes; did you mean tones?"),
    (("train", ""), 2, "unknown dataset '': must be one of tones, notes"),
    (("train", "a\nb\x1b[31m"), 2, r"unknown dataset 'a\nb\x1b[31m'"),
    (("train", "--variant", "dropuot"), 2, "unknown variant 'dropuot': must be one of original, smaller, larger, l2, dropout; did you mean dropout?"),
    (("sweep", "tones", "l2=0", "--statistic", "best_val_acuracy"), 2, "--statistic: must be one of best_val_cross_entropy, last_val_cross_entropy, best_val_accuracy, last_val_accuracy, got best_val_acuracy; did you mean best_val_accuracy?"),
    (("sweep", "tones", "l2=0", "--confirm", "0", "--test"), 2, "--test: only a confirmed trial is tested, so --confirm must be at least 1, got 0"),
    (("train", "--protocol", "unfair"), 2, "--protocol: must be fair or lecture, got unfair"),
    (("verify", "--dataset", "nots"), 2, "unknown dataset 'nots': must be one of tones, notes; did you mean notes?"),
    (("verify", "--variant", "origin"), 2, "unknown variant 'origin'"),
    (("verify", "--seeds", "-1"), 2, "Invalid value for '--seeds'"),
    (("verify",), 1, "fair.json: cannot be read (No such file or directory); run `dvc repro train`"),
    (("study", "--seeds", "1"), 2, "Invalid value for '--seeds': Input should be greater than or equal to 2"),
    (("params", "more"), 2, "feedforward params: Got unexpected extra argument(s) (more)"),
    (("ui", "--json"), 2, "feedforward ui: No such option: --json"),
    (("ui", "--port", "0"), 2, "Invalid value for '--port': Input should be greater than or equal to 1"),
    (("promote",), 2, "feedforward promote: Missing argument 'DATASET'"),
    (("promote", "nots"), 2, "unknown dataset 'nots': must be one of tones, notes; did you mean notes?"),
    (("promote", "notes", "tones"), 2, "Got unexpected extra argument(s) (tones)"),
    (("promote", "notes"), 1, "notes: has no finished final run in the tracking store; run `feedforward train notes`"),
    (("promote", "notes", "--run", "zzz"), 1, "notes: has no finished final run"),
    (("predict",), 2, "feedforward predict: Missing argument 'DATASET'"),
    (("predict", "nots", "a"), 2, "unknown dataset 'nots'"),
    (("predict", "notes"), 2, "SAMPLES: give either samples or --file"),
    (("predict", "notes", "a", "--file", "b.txt"), 2, "SAMPLES: give either samples or --file"),
    (("predict", "notes", "a"), 3, "notes: there is no champion yet; run `feedforward promote notes`"),
    (("serve", "--port", "99999"), 2, "Invalid value for '--port': Input should be less than or equal to 65535"),
    (("serve", "--host", "0.0.0.0"), 2, "--host: 0.0.0.0 can be reached from other machines, and the service has no login; add --expose"),
    (("serve", "--host", "999.1.1.1"), 2, "--host: 999.1.1.1 can be reached from other machines"),
    (("serve", "--allow-host", "*"), 2, "--allow-host: must be a host name such as models.example, which the Host header contains, got *"),
    (("serve", "--allow-host", "a.example", "--allow-host", "https://b.example"), 2, "--allow-host: must be a host name such as models.example, which the Host header contains, got https://b.example"),
    (("ui", "--allow-host", "https://b.example"), 2, "--allow-host: must be a host name such as models.example, without https:// or a path, got https://b.example"),
)  # fmt: skip
