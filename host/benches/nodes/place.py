"""What a place looks like at an hour: five fields in, five out."""


def transform(place, args):
    opens, closes = place["opens"], place["closes"]
    return {
        "id": place["id"],
        "name": place["name"],
        "stars": place["rating"] * 2,
        "open": opens <= args["hour"] < closes,
        "hours": closes - opens,
    }
