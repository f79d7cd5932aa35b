/* A filter: whether a place is open at an hour. The same as python/open_at.py, against the raw interface. */

#include "sangre_node.h"

enum verdict keep(json place, json args) {
    double opens, closes, hour;
    if (!json_number(json_member(place, "opens"), &opens)) return fail("opens is no number");
    if (!json_number(json_member(place, "closes"), &closes)) return fail("closes is no number");
    if (!json_number(json_member(args, "hour"), &hour)) return fail("args.hour is no number");
    return opens <= hour && hour < closes ? KEEP : DROP;
}
