# Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.
# Its hours are numbers, as in rows.json: a column of type time comes as a text, "09:00:00"; any may be None.


def keep(place, args):
    if place["opens"] is None or place["closes"] is None:
        return False
    return place["opens"] <= args["hour"] < place["closes"]
