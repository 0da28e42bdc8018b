"""How fast, beside what: a plain Keras script of the lecture, the machine's own floors, growth. `make bench`."""
