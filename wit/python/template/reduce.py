# One object for a whole list of places.


def reduce(places, args):
    return {"count": len(places), "best": max((place["rating"] or 0 for place in places), default=0)}
