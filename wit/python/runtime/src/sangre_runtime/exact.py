"""Numbers that a float cannot hold.

The server says where in a batch they are. Python's integers hold theirs; one with a fraction becomes a float that keeps its text, and is
written as it came. What is computed with it is a plain float.
"""


class Exact(float):
    """A number with more digits than a float has."""

    __slots__ = ("text",)

    # Whether there ever was one.
    exist = False

    def __new__(cls, text):
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self):
        return self.text

    def __getnewargs__(self):
        # For copies.
        return (self.text,)


def keep(holder, numbers):
    """Puts each of `numbers`, `[[way, text], ...]`, which have a fraction, into `holder`."""
    for (*way, last), text in numbers:
        if text.lstrip("-").isdigit():
            continue
        inner = holder
        for step in way:
            inner = inner[step]
        inner[last] = Exact(text)
        Exact.exist = True
