/* pickle_machine.h - inside pickle*.c: the nodes, their arena, and the machine that
 * evaluates the opcodes. */
#ifndef EET_CONVERTER_PICKLE_MACHINE_H
#define EET_CONVERTER_PICKLE_MACHINE_H

#include "converter/pickle.h"

/* What calling a known global gives; pickle_globals.c has the table. */
typedef enum eet_pickle_known {
    EET_KNOWN_NOTHING, /* a CALL */
    EET_KNOWN_MAP,     /* OrderedDict, Counter, dict: a DICT of the pairs or the map given */
    EET_KNOWN_DEFAULT, /* defaultdict: a DICT; the factory is dropped */
    EET_KNOWN_SPACE,   /* argparse.Namespace: a DICT whose pairs BUILD brings */
    EET_KNOWN_SET,
    EET_KNOWN_LIST,
    EET_KNOWN_TUPLE,
    EET_KNOWN_BYTES,      /* bytes, bytearray, _codecs.encode */
    EET_KNOWN_RECONSTRUCT /* copyreg._reconstructor(class, base, state) */
} eet_pickle_known;

struct eet_pickle_node {
    uint8_t kind;   /* eet_pickle_kind */
    uint8_t known;  /* of a GLOBAL; of a DICT which one made it */
    uint8_t object; /* a DICT that BUILD may give a state to */
    uint8_t zero;
    uint32_t count; /* items; pairs of a DICT; bytes of a string */
    union {
        int64_t integer;
        double real;
        const char *text;
        eet_pickle_node **items; /* of a DICT key, value, key, value ... */
        const char *module;
        eet_pickle_node *callable;
        eet_pickle_node *tuple; /* of a STORAGE */
    } a;
    union {
        uint64_t room; /* items there is room for */
        const char *name;
        eet_pickle_node *arguments;
        eet_pickle_node *next; /* of a STORAGE */
    } b;
    eet_pickle_node *state;
};

typedef struct eet_pickle_block {
    struct eet_pickle_block *next;
    uint64_t bytes, used;
    _Alignas(16) unsigned char data[];
} eet_pickle_block;

struct eet_pickle {
    eet_pickle_node *root;
    eet_pickle_node *first_storage, *last_storage;
    eet_pickle_block *blocks;
    uint64_t arena_bytes, nodes;
    eet_pickle_node none, no, yes; /* shared */
};

typedef struct eet_machine {
    const uint8_t *data;
    uint64_t bytes, at;
    uint64_t op; /* where the opcode stands */
    const char *op_name;
    uint64_t operations;
    const eet_pickle_limits *limits;
    eet_pickle *pickle;
    eet_pickle_node **stack;
    uint64_t depth, stack_room;
    uint64_t *mark; /* depths of the stack */
    uint64_t marks, mark_room;
    eet_pickle_node **memo;
    uint64_t memo_count, memo_room;
    int protocol; /* -1: no PROTO seen */
    bool stopped;
    uint64_t whole; /* bytes there are, of which data has the first */
    bool lacks;     /* it failed because data ends before them */
    eet_error *err;
} eet_machine;

typedef eet_status (*eet_pickle_op)(eet_machine *m);

typedef struct eet_opcode {
    const char *name; /* NULL: no opcode */
    eet_pickle_op run;
} eet_opcode;
extern const eet_opcode eet_opcodes[256];

/* Failing, with the place: "the pickle is malformed at byte 7: ..." */
eet_status eet_pickle_corrupt(eet_machine *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline eet_status eet_pickle_over(eet_machine *m, const char *what, uint64_t limit) {
    return eet_fail(m->err, EET_E_LIMIT, EET_NOWHERE,
                    "the pickle has more than %llu %s (at byte %llu)", (unsigned long long)limit,
                    what, (unsigned long long)m->op);
}

static inline eet_status eet_pickle_no_memory(eet_machine *m) {
    return eet_fail(m->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the pickle's values");
}

/* Arena. *out is uninitialised (bytes) or zeroed but for the kind (node). */
eet_status eet_pickle_allocate(eet_machine *m, uint64_t bytes, void **out);
eet_status eet_pickle_node_make(eet_machine *m, eet_pickle_kind kind, eet_pickle_node **out);
/* Appends to a LIST, SET or DICT (count in items, for a DICT 2 a pair). */
eet_status eet_pickle_extend(eet_machine *m, eet_pickle_node *node, eet_pickle_node *const *items,
                             uint64_t count);

/* Input: fails when fewer bytes remain. */
eet_status eet_pickle_short(eet_machine *m, uint64_t bytes);
eet_status eet_pickle_take(eet_machine *m, uint64_t bytes, const uint8_t **out);
eet_status eet_pickle_take_number(eet_machine *m, unsigned bytes,
                                  uint64_t *out); /* little-endian */
eet_status eet_pickle_take_line(eet_machine *m, const char **text, uint64_t *bytes);
/* A length field of `width` bytes and as many bytes as it says, at most a string's limit. */
eet_status eet_pickle_take_string(eet_machine *m, unsigned width, const char **text,
                                  uint64_t *bytes);

/* Stack; what lies below the last mark cannot be reached. */
eet_status eet_pickle_push(eet_machine *m, eet_pickle_node *node);
eet_status eet_pickle_pop(eet_machine *m, eet_pickle_node **out);
eet_status eet_pickle_peek(eet_machine *m, eet_pickle_node **out);
/* Pops the last mark and all above it: *items, *count of them, still in place until
 * the next push. */
eet_status eet_pickle_pop_mark(eet_machine *m, eet_pickle_node ***items, uint64_t *count);

/* Strings: makes and pushes. */
eet_status eet_pickle_push_text(eet_machine *m, const char *text, uint64_t bytes);
eet_status eet_pickle_push_bytes(eet_machine *m, const char *text, uint64_t bytes);
eet_status eet_pickle_push_python2(eet_machine *m, const char *text, uint64_t bytes);
eet_status eet_pickle_push_tuple(eet_machine *m, eet_pickle_node *const *items, uint64_t count);

/* pickle_globals.c: fills in a GLOBAL's names and what is known of it. */
eet_status eet_pickle_resolve(eet_machine *m, const char *module, uint64_t module_bytes,
                              const char *name, uint64_t name_bytes, eet_pickle_node **out);
/* Is calling it what malicious pickles do? */
bool eet_pickle_is_gadget(const eet_pickle_node *global);

/* pickle_calls.c: what calling it gives. E_SUSPICIOUS for a gadget. */
eet_status eet_pickle_call(eet_machine *m, eet_pickle_node *callable, eet_pickle_node *arguments);

/* The opcodes, by file. */
#define EET_PICKLE_OPS(X) \
    X(mark)               \
    X(pop)                \
    X(pop_mark)           \
    X(dup)                \
    X(tuple)              \
    X(tuple1)             \
    X(tuple2)             \
    X(tuple3)             \
    X(empty_tuple)        \
    X(list)               \
    X(empty_list)         \
    X(append)             \
    X(appends)            \
    X(dict)               \
    X(empty_dict)         \
    X(setitem)            \
    X(setitems)           \
    X(empty_set)          \
    X(additems)           \
    X(frozenset)          \
    X(put)                \
    X(binput)             \
    X(long_binput)        \
    X(memoize)            \
    X(get)                \
    X(binget)             \
    X(long_binget)        \
    X(none)               \
    X(newtrue)            \
    X(newfalse)           \
    X(int)                \
    X(binint)             \
    X(binint1)            \
    X(binint2)            \
    X(long)               \
    X(long1)              \
    X(long4)              \
    X(float)              \
    X(binfloat)           \
    X(string)             \
    X(binstring)          \
    X(short_binstring)    \
    X(unicode)            \
    X(binunicode)         \
    X(short_binunicode)   \
    X(binunicode8)        \
    X(binbytes)           \
    X(short_binbytes)     \
    X(binbytes8)          \
    X(global)             \
    X(stack_global)       \
    X(reduce)             \
    X(build)              \
    X(inst)               \
    X(obj)                \
    X(newobj)             \
    X(newobj_ex)          \
    X(binpersid)          \
    X(refused)            \
    X(proto)              \
    X(frame)              \
    X(stop)

#define X(name) eet_status eet_pickle_op_##name(eet_machine *m);
EET_PICKLE_OPS(X)
#undef X

#endif
