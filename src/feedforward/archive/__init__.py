"""Everything behind a result, for somebody else: written by `export`, opened by `import` without training.

Belongs here: what an archive contains, its metadata (RO-Crate, Croissant), writing it and reading it safely.
Does not belong here: statistics, pages and models, which it copies as they are.
"""
