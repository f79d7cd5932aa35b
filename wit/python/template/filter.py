# Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.


def keep(place, args):
    return place["opens"] <= args["hour"] < place["closes"]
