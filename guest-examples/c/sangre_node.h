/* What stands between a filter in C and the interface `sangre:node@0.1.0` (wit/0.1.0/node.wit): the canonical ABI, memory, and
 * reading JSON in place. No C library. Include it in one file, and define `keep`.
 *
 * Everything a call allocates is given back at once after its answer was read. The host's texts are valid JSON, so they are read
 * without being checked. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first character of a JSON value; NULL: there is none. */
typedef const char *json;

enum verdict { DROP, KEEP, FAILED };

/* What a filter defines. To say why there is no answer: `return fail("...")`. */
enum verdict keep(json row, json args);

/* ---- memory: what is beyond the program's own data, given out from the bottom ---- */

extern unsigned char __heap_base;
static uintptr_t node_top = (uintptr_t)&__heap_base;

__attribute__((import_module("sangre:node/log@0.1.0"), import_name("fail"))) void node_last_words(const char *, size_t);

static void *node_allocate(size_t bytes) {
    static const char out_of_memory[] = "out of memory";
    const uintptr_t page = 65536;
    uintptr_t at = (node_top + 7) & ~(uintptr_t)7, end = at + bytes;
    size_t have = __builtin_wasm_memory_size(0), need = (end + page - 1) / page;
    if (end < at || (need > have && __builtin_wasm_memory_grow(0, need - have) == (size_t)-1)) {
        node_last_words(out_of_memory, sizeof out_of_memory - 1);
        __builtin_trap();
    }
    node_top = end;
    return (void *)at;
}

/* The host's way to put a text here. */
__attribute__((export_name("cabi_realloc"))) void *node_realloc(void *old, size_t had, size_t align, size_t bytes) {
    (void)align;
    char *moved = node_allocate(bytes);
    for (size_t i = 0; i < had && i < bytes; i++) moved[i] = ((char *)old)[i];
    return moved;
}

/* ---- JSON ---- */

static json json_space(json at) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}

/* What stands behind a value. */
static json json_after(json at) {
    int depth = 0;
    bool in_text = false;
    for (;; at++) {
        if (in_text) {
            if (*at == '\\') at++;
            else if (*at == '"') in_text = false;
        } else if (*at == '"') in_text = true;
        else if (*at == '[' || *at == '{') depth++;
        else if (depth == 0 && (*at == ',' || *at == ']' || *at == '}')) return at;
        else if (*at == ']' || *at == '}') depth--;
    }
}

/* The first of a list or an object (there the name of the first member), or what comes behind `at` in it; NULL at the end. */
static json json_first(json list) {
    json at = json_space(list + 1);
    return *at == ']' || *at == '}' ? NULL : at;
}

static json json_next(json at) {
    at = json_after(at);
    return *at == ',' ? json_space(at + 1) : NULL;
}

/* A member's value, by a name without escapes. */
__attribute__((unused)) static json json_member(json object, const char *name) {
    if (!object || *object != '{') return NULL;
    for (json at = json_first(object); at; at = json_next(at)) {
        json end = at + 1;
        const char *c = name;
        bool same = true;
        for (; *end != '"'; end++) {
            same = same && *c == *end;
            if (same) c++;
            if (*end == '\\') end++;
        }
        same = same && *c == 0;
        if (same) return json_space(json_space(end + 1) + 1);
    }
    return NULL;
}

/* False if the value is no number. Exact for integers to 2^53. */
__attribute__((unused)) static bool json_number(json at, double *number) {
    if (!at || !(*at == '-' || (*at >= '0' && *at <= '9'))) return false;
    bool negative = *at == '-';
    int scale = 0, exponent = 0;
    double value = 0;
    for (at += negative; *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, scale--) value = value * 10 + (*at - '0');
    if (*at == 'e' || *at == 'E') {
        bool down = *++at == '-';
        for (at += *at == '-' || *at == '+'; *at >= '0' && *at <= '9' && exponent < 10000; at++) exponent = exponent * 10 + (*at - '0');
        scale += down ? -exponent : exponent;
    }
    for (; scale > 0 && value != 0 && value < 1e308; scale--) value *= 10;
    for (; scale < 0 && value != 0; scale++) value /= 10;
    *number = negative ? -value : value;
    return true;
}

/* ---- the call ---- */

struct node_failure { uint32_t row; const char *message; size_t length; };
struct node_answers { char *values; size_t length; struct node_failure *failures; size_t failed; };

static const char *node_message;

__attribute__((unused)) static enum verdict fail(const char *message) {
    node_message = message;
    return FAILED;
}

static size_t node_length(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

static void node_say(struct node_answers *answers, const char *word) {
    if (answers->length > 1) answers->values[answers->length++] = ',';
    while (*word) answers->values[answers->length++] = *word++;
}

__attribute__((export_name("sangre:node/filter-rows@0.1.0#keep"))) struct node_answers *node_keep(json batch, size_t length) {
    struct node_answers *answers = node_allocate(sizeof *answers);
    /* A row has at least one character and a comma, an answer at most five and one. */
    *answers = (struct node_answers){.values = node_allocate(3 * length + 2), .length = 1};
    answers->values[0] = '[';
    size_t room = 0;
    uint32_t row = 0;
    for (json group = json_first(json_space(batch)); group; group = json_next(group)) {
        json args = json_member(group, "args");
        for (json at = json_first(json_member(group, "rows")); at; at = json_next(at), row++) {
            enum verdict verdict = keep(at, args);
            node_say(answers, verdict == FAILED ? "null" : verdict == KEEP ? "true" : "false");
            if (verdict != FAILED) continue;
            if (answers->failed == room) {
                size_t had = room * sizeof *answers->failures;
                room = room ? room * 2 : 8;
                answers->failures = node_realloc(answers->failures, had, 4, room * sizeof *answers->failures);
            }
            answers->failures[answers->failed++] = (struct node_failure){row, node_message, node_length(node_message)};
        }
    }
    answers->values[answers->length++] = ']';
    return answers;
}

/* The answer was read. */
__attribute__((export_name("cabi_post_sangre:node/filter-rows@0.1.0#keep"))) void node_forget(struct node_answers *answers) {
    (void)answers;
    node_top = (uintptr_t)&__heap_base;
}
