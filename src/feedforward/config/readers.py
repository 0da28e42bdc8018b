"""`datasets.*.reader` and `datasets.*.expectations`: how bytes become features, and which bounds the data must meet."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Count, Distinct, Seed, Share, Span, Strict


class IdxPair(Strict):
    """The two idx files of a split."""

    features: str  # name of the file with images
    labels: str  # name of the file with labels


class IdxReader(Strict):
    """Gray images in idx files; features are the pixels, uint8, row by row."""

    kind: Literal["idx"]  # `idx`, `labeled_text`, `image_folder` or `table`
    train: IdxPair  # the two files of the training split, or a folder of class folders
    test: IdxPair  # the same for the test split; null: a share is drawn
    # class numbers, class folders or label values, in the order of `labels`; null: 0, 1, …
    classes: Annotated[Distinct[Annotated[int, Field(ge=0, le=255)]], Field(min_length=2)] | None = None
    shuffle_seed: Seed | None = None  # seed that shuffles the training samples; null: order of the file


class Drawn(Strict):
    """Where no test file or folder is named, about a share of each class is drawn as the test split.

    A hash of the sample and the seed decides, so that samples stay in their split when other samples are added.
    """

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # share of the samples that becomes the test split
    split_seed: Seed = 0  # seed of the hash that draws the test split
    shuffle_seed: Seed | None = 0  # seed that shuffles the training samples; null: order of the file


class TextReader(Drawn):
    """Texts in class folders, or in two columns of a CSV or JSONL file; features are multi-hot words (and pairs).

    Class folders: `train` and `test` are folders of the archive (empty: its top), `classes` the folders beneath them,
    in label order. Columns: `text` and `label` of `file` (and `test_file`), `classes` the values of `label`.
    """

    kind: Literal["labeled_text"]  # `idx`, `labeled_text`, `image_folder` or `table`
    file: str  # name of the file in `files`
    train: str | None = None  # folder of class folders
    test: str | None = None  # folder of class folders; null: a share is drawn
    text: str | None = None  # column of texts
    label: str | None = None  # column of labels
    test_file: str | None = None  # name of the file with the test split; null: a share is drawn
    missing: Distinct[str] = ()  # spellings of a missing value, beside the usual ones (empty, ?, NA, …)
    classes: Distinct[str]  # class folders or label values, in the order of `labels`
    # number of the most frequent words (and pairs) that get a column (stored as uint16)
    num_words: Annotated[int, Field(ge=5, le=65536)]
    # 1: words are features; 2: pairs of neighboring words ("not good"), too
    ngrams: Annotated[int, Field(ge=1, le=2)] = 1


class ImageReader(Drawn):
    """Images in class folders, `train` and `test` as for texts; features are gray levels, uint8, row by row.

    An image of another size is scaled into `height` x `width`, keeping its proportions, on the color of its corners.
    """

    kind: Literal["image_folder"]
    file: str
    train: str = ""
    test: str | None = None
    classes: Distinct[str]
    height: Annotated[int, Field(gt=0, le=1024)]  # height of the scaled pictures, in pixels
    width: Annotated[int, Field(gt=0, le=1024)]  # width of the scaled pictures, in pixels


class TableReader(Drawn):
    """Rows of a CSV or Parquet file; features are numbers, standardized, and categories, one-hot.

    Mean, standard deviation and categories are those of the training rows. `target`: the column to learn, for
    multilabel one per label; `classes`: the values of the target in label order, if they are classes.
    """

    kind: Literal["table"]
    file: str
    test_file: str | None = None
    target: Annotated[Distinct[str], Field(min_length=1)]  # column to learn; for several labels, one column for each
    classes: Distinct[str] | None = None
    numeric: Distinct[str] = ()  # columns of numbers, standardized
    categorical: Distinct[str] = ()  # columns of categories, one-hot
    decimal: Literal[".", ","] = "."  # decimal sign of numbers that are written as text
    missing: Distinct[str] = ()


Reader = Annotated[IdxReader | TextReader | ImageReader | TableReader, Field(discriminator="kind")]


class Expectations(Strict):
    """Bounds that the data must meet; a pair is (lowest, highest), both inclusive."""

    train_samples: Span[Count]  # number of training samples
    test_samples: Span[Count]  # number of test samples
    # share of each class; for several labels, the share of samples that have the label
    class_share: Span[Share] = (0.0, 1.0)
    target: Span[float] | None = None  # values of a regression's target, as training reads it
    nonzero_features: Span[Count]  # non-zero features per sample
    value: Span[float]  # values of all features
    raw_length: Span[Count]  # size of a raw sample, in bytes
    empty: Count = 0  # largest number of samples without a non-zero feature
    duplicates: Count  # largest number of samples in a split that repeat an earlier one
    overlap: Count  # largest number of distinct raw samples that occur in both splits
