"""Keeps the places that are open at an hour of the day: `filter: { node: open-at, args: { hour: $hour } }`."""


def keep(place, args):
    opens, closes, hour = place["opens"], place["closes"], args["hour"]
    if opens <= closes:
        return opens <= hour < closes
    # A place that closes after midnight closes before it opens.
    return hour >= opens or hour < closes
