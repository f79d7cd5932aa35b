# How many hours a day a place is open.
# Its hours are numbers, as in rows.json: a column of type time comes as a text, "09:00:00"; any may be None.


def transform(place, args):
    if place["opens"] is None or place["closes"] is None:
        return None
    return max(0, place["closes"] - place["opens"])
