"""Archives with everything behind a result, to share with others: `export` writes one, `import` opens it.

Belongs here: what an archive contains, its metadata (RO-Crate, Croissant), and writing and reading it safely.
Does not belong here: creating statistics, pages and models, which are copied as they are.
"""
