"""What people read: HTML pages, inline SVG, matplotlib figures, tables and terminal output.

Belongs here: turning values into text, markup and pictures; templates; the only use of matplotlib (`figures`).
Does not belong here: computing the values that are shown (`analysis`), or gathering them (`experiments`).
Pages are self-contained and never show when they were written, so equal content gives equal bytes.
"""
