/* pickle.h - reads a Python pickle (protocols 1 to 5) into a graph of inert nodes.
 *
 * Nothing is executed, imported or looked up: a global is two strings, a call is
 * a node that says what would be called with what. Few constructors of plain
 * Python mean something here (pickle_globals.c); the rest stays a call. The
 * graph may be shared and cyclic, and a million levels deep: whoever walks it
 * bounds depth and visits. Strings lie in the input, which must outlive the graph. */
#ifndef EET_CONVERTER_PICKLE_H
#define EET_CONVERTER_PICKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

/* X(symbol, name in messages) */
#define EET_PICKLE_KIND_MAP(X)                                                                \
    X(EET_PICKLE_NONE, "None")                                                                \
    X(EET_PICKLE_BOOL, "a boolean")                                                           \
    X(EET_PICKLE_INT, "an integer")                                                           \
    X(EET_PICKLE_BIG, "a long integer") /* beyond 64 bits */                                  \
    X(EET_PICKLE_FLOAT, "a float")                                                            \
    X(EET_PICKLE_TEXT, "a string") /* UTF-8; lone surrogates pass */                          \
    X(EET_PICKLE_BYTES, "bytes")                                                              \
    X(EET_PICKLE_TUPLE, "a tuple")                                                            \
    X(EET_PICKLE_LIST, "a list")                                                              \
    X(EET_PICKLE_SET, "a set")                                                                \
    X(EET_PICKLE_DICT, "a dict")       /* and OrderedDict, defaultdict, Counter, Namespace */ \
    X(EET_PICKLE_GLOBAL, "a global")   /* a class or function by name */                      \
    X(EET_PICKLE_STORAGE, "a storage") /* a persistent id: its tuple */                       \
    X(EET_PICKLE_CALL, "an object")    /* what calling something would give */

typedef enum eet_pickle_kind {
#define X(symbol, name) symbol,
    EET_PICKLE_KIND_MAP(X)
#undef X
} eet_pickle_kind;

typedef struct eet_pickle_node eet_pickle_node;
typedef struct eet_pickle eet_pickle;

typedef struct eet_pickle_limits {
    uint64_t operations, nodes, arena_bytes, stack, marks, memo, string_bytes, items;
} eet_pickle_limits;
extern const eet_pickle_limits eet_pickle_default_limits;

/* Evaluates one whole pickle. `limits` NULL: the defaults. Fails with E_CORRUPT,
 * E_UNSUPPORTED (protocol 0, a later protocol), E_SUSPICIOUS (a call of something
 * that runs programs), E_LIMIT, E_MEMORY; the sentence names the byte. */
eet_status eet_pickle_read(const void *data, uint64_t bytes, const eet_pickle_limits *limits,
                           eet_pickle **out, eet_error *err);
/* The same of a pickle that something may follow: `data` is the beginning of `whole` bytes.
 * *used: its bytes; 0, and no pickle, when it goes on behind `bytes`: call again with more. */
eet_status eet_pickle_read_first(const void *data, uint64_t bytes, uint64_t whole, eet_pickle **out,
                                 uint64_t *used, eet_error *err);
void eet_pickle_free(eet_pickle *pickle); /* NULL is fine; no recursion */

const eet_pickle_node *eet_pickle_root(const eet_pickle *pickle);
eet_pickle_kind eet_pickle_kind_of(const eet_pickle_node *node);
const char *eet_pickle_kind_name(const eet_pickle_node *node); /* "a list" */

/* The persistent ids in the order of the pickle: the first; NULL ends them. */
const eet_pickle_node *eet_pickle_first_storage(const eet_pickle *pickle);
const eet_pickle_node *eet_pickle_next_storage(const eet_pickle_node *storage);

/* Scalars. Each returns false, and leaves *out alone, on another kind. */
bool eet_pickle_bool(const eet_pickle_node *node, bool *out);
bool eet_pickle_int(const eet_pickle_node *node, int64_t *out); /* not a boolean */
bool eet_pickle_float(const eet_pickle_node *node, double *out);
/* TEXT and BYTES; BIG gives its little-endian bytes. Not NUL-terminated. */
const char *eet_pickle_text(const eet_pickle_node *node, uint32_t *bytes);
bool eet_pickle_is_text(const eet_pickle_node *node, const char *text); /* TEXT equal to it? */

/* TUPLE, LIST, SET: the items. DICT: keys and values. STORAGE: the items of its
 * tuple. Of another kind there are 0. */
uint32_t eet_pickle_count(const eet_pickle_node *node);
const eet_pickle_node *eet_pickle_item(const eet_pickle_node *node, uint32_t index);
const eet_pickle_node *eet_pickle_key(const eet_pickle_node *node, uint32_t index);
const eet_pickle_node *eet_pickle_value(const eet_pickle_node *node, uint32_t index);

/* The value of a string key, *out NULL when it is not there; a key that stands
 * there twice is E_CORRUPT (Python would keep the last and show neither). */
eet_status eet_pickle_find(const eet_pickle_node *dict, const char *key,
                           const eet_pickle_node **out, eet_error *err);

/* GLOBAL: is it module.name? Modules are written as Python 3 and numpy 1 do
 * (builtins, copyreg, numpy.core). */
bool eet_pickle_is_global(const eet_pickle_node *node, const char *module, const char *name);
const char *eet_pickle_module(const eet_pickle_node *node); /* NUL-terminated; NULL: no global */
const char *eet_pickle_name(const eet_pickle_node *node);

/* CALL: what is called (a GLOBAL or another CALL), with which arguments (any kind
 * of node, mostly a TUPLE), and the state it is given afterwards (NULL: none). */
const eet_pickle_node *eet_pickle_callable(const eet_pickle_node *node);
const eet_pickle_node *eet_pickle_arguments(const eet_pickle_node *node);
const eet_pickle_node *eet_pickle_state(const eet_pickle_node *node); /* also of a DICT */

/* "torch.nn.modules.linear.Linear" for a GLOBAL, and for a CALL of one; else the
 * kind's name. At most two of 255 bytes; returns `buffer`. */
typedef struct eet_pickle_label {
    char text[520];
} eet_pickle_label;
const char *eet_pickle_describe(const eet_pickle_node *node, eet_pickle_label *buffer);

#endif
