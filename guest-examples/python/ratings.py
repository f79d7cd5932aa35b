"""How a list of places is rated, as the last step: `reduce: { node: ratings }`."""

from collections import Counter
from statistics import median


def reduce(places, args):
    ratings = sorted(place["rating"] for place in places if place["rating"] is not None)
    return {
        "count": len(places),
        "median": median(ratings) if ratings else None,
        # JSON's keys are texts.
        "stars": {str(stars): count for stars, count in Counter(ratings).items()},
    }
