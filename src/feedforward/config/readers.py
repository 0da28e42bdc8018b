"""`datasets.*.reader` and `datasets.*.expectations`: how bytes become features, and which bounds the data must meet.

A key that several kinds of reader have is described once, in the first of them, for all of them.
"""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Count, Distinct, Seed, Share, Span, Strict


class IdxPair(Strict):
    """The two idx files of a split."""

    features: str  # name of the image file in `files`
    labels: str  # name of the label file in `files`


class IdxReader(Strict):
    """Grayscale images in idx files; the features are the pixels (uint8), row by row."""

    kind: Literal["idx"]  # data format: `idx`, `labeled_text`, `image_folder` or `table`
    train: IdxPair  # the two files of the training split, or a folder of class folders
    test: IdxPair  # the two files of the test split, or a folder of class folders; null: the split is drawn at random
    # class numbers, class folders or label values, in the order of `labels`; null: 0, 1, …
    classes: Annotated[Distinct[Annotated[int, Field(ge=0, le=255)]], Field(min_length=2)] | None = None
    shuffle_seed: Seed | None = None  # seed for shuffling the training samples; null: keep the file order


class RandomSplitReader(Strict):
    """Draws roughly `test_share` of each class at random as the test split if there is no test file or folder.

    A hash of sample and seed decides which samples are drawn, so adding samples does not move others between splits,
    except for classes with so few samples that the hash puts them all into one split (see `draw_test_split`). The hash
    of a table's row is that of its features: if the reader lists other columns, the split is drawn again.
    """

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # share of the samples to draw for the test split
    split_seed: Seed = 0  # seed of the hash that assigns samples to the test split
    shuffle_seed: Seed | None = 0  # seed for shuffling the training samples; null: keep the file order


class TextReader(RandomSplitReader):
    """Texts in class folders or in a column of a CSV or JSONL file; the features are multi-hot words (and word pairs).

    Class folders: `train` and `test` are folders in the archive (empty: its top level), and `classes` are their
    subfolders. Columns: `text` and `label` are columns of `file` (and `test_file`), and `classes` are label values.
    """

    kind: Literal["labeled_text"]  # `idx`, `labeled_text`, `image_folder` or `table`
    file: str  # name of the file in `files`
    train: str | None = None  # folder of class folders
    test: str | None = None  # folder of class folders; null: the test split is drawn at random
    text: str | None = None  # name of the text column
    label: str | None = None  # name of the label column
    test_file: str | None = None  # name of the file with the test split; null: the test split is drawn at random
    missing: Distinct[str] = ()  # spellings of missing values, besides the usual ones (empty, ?, NA, …)
    classes: Distinct[str]  # class folders or label values, in the order of `labels`
    excluded_classes: Distinct[str] = ()  # values of the column to predict whose rows are left out
    # number of columns, one for each of the most frequent words (and pairs); 65,536 at most: column numbers are uint16
    num_words: Annotated[int, Field(ge=5, le=65536)]
    # 1: the features are words; 2: words and pairs of neighboring words ("not good")
    ngrams: Annotated[int, Field(ge=1, le=2)] = 1


class ImageReader(RandomSplitReader):
    """Images in class folders (`train` and `test` as in TextReader); the features are gray levels (uint8), row by row.

    An image of a different size is scaled to fit `height` x `width`; the rest is filled with the color of its corners.
    """

    kind: Literal["image_folder"]
    file: str
    train: str = ""
    test: str | None = None
    classes: Distinct[str]
    height: Annotated[int, Field(gt=0, le=1024)]  # height of the scaled images, in pixels
    width: Annotated[int, Field(gt=0, le=1024)]  # width of the scaled images, in pixels


class TableReader(RandomSplitReader):
    """Rows of a CSV or Parquet file; the features are standardized numbers and one-hot categories.

    Means, standard deviations and categories come from the training rows. `target`: a list with the column to
    predict; for multilabel, one column per label. `classes`: if the target is a class, its values in label order.
    """

    kind: Literal["table"]
    file: str
    test_file: str | None = None
    # list with the column to predict; for multilabel, one column per label
    target: Annotated[Distinct[str], Field(min_length=1)]
    classes: Distinct[str] | None = None
    excluded_classes: Distinct[str] = ()
    numeric: Distinct[str] = ()  # numeric columns, which are standardized
    categorical: Distinct[str] = ()  # categorical columns, which are one-hot encoded
    decimal: Literal[".", ","] = "."  # decimal separator in numbers that are stored as text
    missing: Distinct[str] = ()


Reader = Annotated[IdxReader | TextReader | ImageReader | TableReader, Field(discriminator="kind")]


class Expectations(Strict):
    """Bounds that the data must meet; a pair is (lowest, highest), both inclusive."""

    train_samples: Span[Count]  # number of training samples, as [lowest, highest]
    test_samples: Span[Count]  # number of test samples, as [lowest, highest]
    # share of samples in each class, or with each label; if the lower bound is 0, the test split may lack a class
    class_share: Span[Share] = (0.0, 1.0)
    target: Span[float] | None = None  # values of a regression target, as used in training
    nonzero_features: Span[Count]  # number of non-zero features per sample
    value: Span[float]  # feature values
    raw_length: Span[Count]  # size of a raw sample, in bytes; of an image: its number of pixels after scaling
    empty: Count = 0  # maximum number of samples whose features are all zero
    duplicates: Count  # maximum number of samples, per split, that repeat an earlier sample
    overlap: Count  # maximum number of distinct raw samples that occur in both splits
