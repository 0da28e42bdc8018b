"""Output for people: HTML pages, inline SVG, matplotlib figures, tables and terminal output.

Belongs here: turning values into text, markup and figures; templates; all modules that use matplotlib.
Does not belong here: computing the values that are shown (`analysis`), or gathering them (`experiments`).
Pages are self-contained and never show when they were written, so the same content gives the same bytes.
"""
