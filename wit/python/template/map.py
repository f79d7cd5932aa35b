# How many hours a day a place is open.


def transform(place, args):
    return max(0, place["closes"] - place["opens"])
