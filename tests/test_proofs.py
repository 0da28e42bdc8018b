"""docs/tests.md, which lists what each marked test proves, is up to date, and no marker is left out."""

import re

import proofs


def test_page_is_up_to_date() -> None:
    assert proofs.PAGE.read_text(encoding="utf-8") == proofs.page(), "run `make reference`"


def test_every_marker_is_on_a_test_and_its_statement_fits_into_the_table() -> None:
    texts = (path.read_text(encoding="utf-8") for path in proofs.TESTS.rglob("*.py"))
    assert sum(len(re.findall(r"^ *@pytest\.mark\.proves\(", text, re.M)) for text in texts) == len(proofs.proofs())
    for path, name, sentence in proofs.proofs():
        assert name.startswith("test_"), path
        assert sentence[0] in "`" or sentence[0].isupper(), sentence
        assert not sentence.endswith("."), sentence
        assert "|" not in sentence, sentence
