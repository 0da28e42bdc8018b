"""Generate 2,000 film reviews, the embedded sample that replaces real reviews in the demo.

Nobody wrote these texts. A review praises or criticizes in some sentences, contradicts itself in a few, and is
neutral in the rest, so a linear model on the words of a review is right about nine times out of ten. The same seed
gives the same bytes, because the only source of randomness is `Random.random()`, whose sequence Python guarantees.

    python samples/grammar.py        writes samples/reviews.tar.gz
"""

import gzip
import io
import random
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

SEED = 20240229
COUNTS = {"train": 800, "test": 200}  # reviews per class
CLASSES = ("neg", "pos")  # in label order
ARCHIVE = Path(__file__).with_name("reviews.tar.gz")

# Each review is either clear or mixed; a linear model often gets the mixed ones wrong. The two shares are those of the
# sentences that agree with the review's label and of those that contradict it; the other sentences are neutral.
SHARES_IF_CLEAR, SHARES_IF_MIXED = (0.60, 0.08), (0.42, 0.26)
CLEAR_REVIEWS = 0.85  # share of the reviews that are clear

# Each list goes from common to rare words; the rarest ones occur too seldom to be learned.
# ruff: noqa: SIM905  (words in a text are easier to read and to add to than a list of them)
GOOD = """good great fine wonderful excellent superb funny charming moving brilliant beautiful delightful lovely
clever touching gripping fresh warm witty memorable enjoyable impressive stunning perfect honest tender inventive
thrilling graceful hilarious masterful absorbing vivid heartfelt elegant magical subtle uplifting radiant rich
assured poignant luminous bold dazzling sincere spirited captivating inspired lyrical exquisite nimble sparkling
buoyant crisp endearing haunting majestic playful resonant rousing soulful spellbinding taut triumphant wry""".split()
BAD = """bad poor dull awful terrible boring weak stupid silly slow flat tedious lame annoying predictable horrible
forgettable clumsy lazy dreadful pointless wooden shallow messy bland painful tired cheap empty confusing stale ugly
ridiculous hollow laughable lifeless dreary pathetic unbearable sloppy contrived grating muddled insipid clichéd
murky stilted witless plodding gloomy garbled inane joyless leaden mawkish overlong preachy rambling sluggish sour
strained tasteless tepid tiresome toothless vapid wearisome""".split()
PRAISE = """loved enjoyed liked admired treasured adored savoured applauded cherished relished""".split()
BLAME = """hated disliked regretted endured loathed resented mocked dreaded despised scorned""".split()
PARTS = """acting plot story script ending music dialogue direction cast camera pacing opening humour score
editing lighting wardrobe scenery soundtrack finale villain hero romance premise narration photography makeup
choreography subplot climax prologue chemistry""".split()
NOUNS = """film movie picture thing drama comedy thriller western sequel remake feature musical fable mystery
romance adventure debut""".split()
JOBS = """baker sailor teacher detective farmer singer painter soldier doctor thief pilot widow lawyer gardener
boxer clerk nurse miner poet barber cook dancer fisherman journalist judge locksmith magician mayor mechanic
monk orphan plumber priest smuggler spy tailor waiter weaver butcher carpenter chemist cobbler courier""".split()
PLACES = """village harbour island desert city circus hospital school prison hotel castle railway lighthouse market
forest theatre monastery mansion canyon casino cathedral embassy factory ferry greenhouse jungle laboratory library
mill museum orchard palace quarry ranch shipyard skyscraper stable swamp tavern vineyard warehouse zoo""".split()
DEEDS = """finds a map|loses a brother|hides a letter|buys a horse|falls in love|runs for mayor|steals a painting
|learns to fly|returns from the war|meets an old friend|breaks a promise|inherits a house|follows a stranger
|writes a song|builds a boat|keeps a secret|misses the train|forges a passport|raises a wolf|opens a bakery
|searches for a treasure|forgets a name|joins a band|wins a lottery|adopts a child|digs a tunnel|sells a farm
|crosses the border|trains a falcon|burns a diary|repairs a clock|escapes a flood""".replace("\n", "").split("|")
SYLLABLES = """an bel cor dan el far gor hal in jor kal lem mar nor ol pet quin ros sal tor ul ver wil yan zel bri
cas dor en fel gra hen is jan ken lor mi nal or pra rin ste tal ur vin wen""".split()
YEARS = tuple(str(year) for year in range(1931, 2009))

# {g}: a word from GOOD; {b}: BAD; {l}: PRAISE; {h}: BLAME; neutral: {p}: PARTS; {n}: NOUNS; {j}: JOBS; {o}: PLACES;
# {d}: DEEDS; {y}: YEARS; {w}: a name. The templates in PRO and CONTRA have the same structure; only their words differ.
PRO = (
    "The {p} is {g}.", "The {p} was {g} and the {p} even better.", "I {l} every minute of it.", "What a {g} {n}!",
    "It is a {g}, {g} {n}.", "{w} gives a {g} performance.", "I {l} the {p}.", "The {p} is anything but {b}.",
    "Few films are so {g}.", "Highly recommended.", "The {p} makes it {g}.", "Worth every cent.",
    "My family {l} it.", "The {p} is not {b} at all.", "You will want to see it again.",
    "Some call the {p} {b}, I found it {g}.", "{w} has never been so {g}.", "A {g} {p} carries the {n}.",
)  # fmt: skip
CONTRA = (
    "The {p} is {b}.", "The {p} was {b} and the {p} even worse.", "I {h} every minute of it.", "What a {b} {n}!",
    "It is a {b}, {b} {n}.", "{w} gives a {b} performance.", "I {h} the {p}.", "The {p} is anything but {g}.",
    "Few films are so {b}.", "Do not bother.", "The {p} makes it {b}.", "A waste of money.",
    "My family {h} it.", "The {p} is not {g} at all.", "You will want to leave early.",
    "Some call the {p} {g}, I found it {b}.", "{w} has never been so {b}.", "A {b} {p} ruins the {n}.",
)  # fmt: skip
NEUTRAL = (
    "A {j} {d} in a {o}.", "It was made in {y} by {w}.", "{w} plays a {j} who {d}.", "I saw this {n} with a friend.",
    "The {n} is set in a {o}.", "It opens in a {o}, where a {j} {d}.", "{w} wrote the {p}.", "Then a {j} {d}.",
    "The {p} is by {w}, who also worked on a {n} about a {j}.", "It runs for about two hours.", "A {j} and a {j} meet.",
    "{w} and {w} appear as a {j} and a {j}.", "I watched it again in {y}.", "The book came out in {y}.",
    "Meanwhile the {j} {d}.", "There is a scene in a {o} near the end.", "It is based on a true story.",
    "My copy is from {y}.", "In the second half a {j} {d} near the {o}.",
)  # fmt: skip


class Writer:
    """Writes reviews from one stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random  # noqa: S311  not for secrets

    def pick(self, words: Sequence[str], rarely: float = 1.0) -> str:
        """Return a random word; with a higher `rarely`, words near the end of the list are picked more rarely."""
        return words[int(len(words) * self.random() ** rarely)]

    def name(self) -> str:
        """Return an invented first name and surname."""
        first, last = ("".join(self.pick(SYLLABLES) for _ in range(2)) for _ in range(2))
        return f"{first.title()} {last.title()}"

    def sentence(self, templates: Sequence[str]) -> str:
        """Return a random template, with each placeholder filled independently."""
        text = self.pick(templates)
        fills: dict[str, Callable[[], str]] = {
            "{g}": lambda: self.pick(GOOD, 2.2),
            "{b}": lambda: self.pick(BAD, 2.2),
            "{l}": lambda: self.pick(PRAISE, 1.5),
            "{h}": lambda: self.pick(BLAME, 1.5),
            "{p}": lambda: self.pick(PARTS, 1.5),
            "{n}": lambda: self.pick(NOUNS, 1.5),
            "{j}": lambda: self.pick(JOBS),
            "{o}": lambda: self.pick(PLACES),
            "{d}": lambda: self.pick(DEEDS),
            "{y}": lambda: self.pick(YEARS),
            "{w}": self.name,
        }
        for placeholder, fill in fills.items():
            while placeholder in text:
                text = text.replace(placeholder, fill(), 1)
        return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)

    def review(self, positive: bool) -> str:
        """Return four to twelve different sentences, at least one of which agrees with the label."""
        agreeing, opposing = SHARES_IF_CLEAR if self.random() < CLEAR_REVIEWS else SHARES_IF_MIXED
        same, opposite = (PRO, CONTRA) if positive else (CONTRA, PRO)
        count = 4 + int(9 * self.random())
        agreeing_position = int(count * self.random())  # the sentence there always agrees
        sentences: list[str] = []
        while len(sentences) < count:
            draw, agrees = self.random(), len(sentences) == agreeing_position
            kind = same if draw < agreeing or agrees else opposite if draw < agreeing + opposing else NEUTRAL
            sentence = self.sentence(kind)
            if sentence not in sentences:
                sentences.append(sentence)
        return " ".join(sentences)


def reviews(seed: int = SEED) -> dict[str, bytes]:
    """Return 2,000 different texts, keyed by their path in the archive, for instance `train/neg/0000.txt`."""
    writer = Writer(seed)
    texts: dict[str, bytes] = {}
    seen = set()
    for split, count in COUNTS.items():
        for folder in CLASSES:
            for number in range(count):
                while (text := writer.review(folder == "pos")) in seen:
                    pass
                seen.add(text)
                texts[f"{split}/{folder}/{number:04}.txt"] = text.encode()
    return texts


def archive(texts: dict[str, bytes]) -> bytes:
    """Return an uncompressed tar of the texts in the given order, without times or owners."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return memory.getvalue()


if __name__ == "__main__":
    ARCHIVE.write_bytes(gzip.compress(archive(reviews()), 9, mtime=0))
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes")
