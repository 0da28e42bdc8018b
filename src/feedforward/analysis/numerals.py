"""Numbers as text for people."""


def number(value: float, decimals: int | None) -> str:
    """A number for people, with a true minus sign, but none before zero. decimals: None for four significant digits.

    >>> number(-0.25, 1), number(-0.001, 2), number(-0.00123456, None), number(123456.7, None), number(2.9e-8, None)
    ('−0.2', '0.00', '−0.001235', '123457', '2.900e−8')
    >>> number((0.3796 + 0.5667) / 2, 4) == number(0.47315, 4)
    True
    """
    value = float(f"{value:.12g}")  # so that the last bits, which depend on how a mean is computed, decide no tie
    text = _significant(value) if decimals is None else f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _significant(value: float) -> str:
    mantissa, exponent = f"{value:.3e}".split("e")
    digits = 3 - int(exponent)
    return f"{value:.{max(0, digits)}f}" if -4 < digits < 8 else f"{mantissa}e{int(exponent):+d}"
