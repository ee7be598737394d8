"""Our own rules about the source, each born of a real fault; `python -m tools.lint` runs them all.

`rules.py` holds the rules, one class each, with the story in its docstring; `__main__.py` walks the files and prints
what they found, less what `exceptions.py` allows.
"""
