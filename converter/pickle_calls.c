/* pickle_calls.c - the opcodes that call something: nothing is called, but what the call
 * of a known constructor of plain Python would give is made. */
#include <string.h>

#include "converter/pickle_machine.h"
#include "format/utf8.h"

static eet_status push_call(eet_machine *m, eet_pickle_node *callable, eet_pickle_node *arguments) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, EET_PICKLE_CALL, &made);

    if (status != EET_OK) {
        return status;
    }
    made->a.callable = callable;
    made->b.arguments = arguments;
    return eet_pickle_push(m, made);
}

/* Python 2 gave OrderedDict a list of [key, value]. */
static eet_status add_pairs(eet_machine *m, eet_pickle_node *dict, const eet_pickle_node *list) {
    eet_status status = EET_OK;

    for (uint32_t i = 0; status == EET_OK && i < list->count; i++) {
        const eet_pickle_node *pair = list->a.items[i];

        if ((pair->kind != EET_PICKLE_LIST && pair->kind != EET_PICKLE_TUPLE) || pair->count != 2) {
            return eet_pickle_corrupt(m, "%s of a map from %s, not from a pair", m->op_name,
                                      eet_pickle_kind_name(pair));
        }
        status = eet_pickle_extend(m, dict, pair->a.items, 2);
    }
    return status;
}

static bool is_sequence(const eet_pickle_node *node) {
    return node->kind == EET_PICKLE_LIST || node->kind == EET_PICKLE_TUPLE ||
           node->kind == EET_PICKLE_SET;
}

static eet_status push_map(eet_machine *m, const eet_pickle_node *callable,
                           const eet_pickle_node *from) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, EET_PICKLE_DICT, &made);

    if (status != EET_OK) {
        return status;
    }
    made->known = callable->known;
    made->object = 1;
    if (from != NULL && from->kind == EET_PICKLE_DICT) {
        status = eet_pickle_extend(m, made, from->a.items, 2 * (uint64_t)from->count);
    } else if (from != NULL) {
        status = add_pairs(m, made, from);
    }
    return status == EET_OK ? eet_pickle_push(m, made) : status;
}

static eet_status push_items(eet_machine *m, eet_pickle_kind kind, const eet_pickle_node *from) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, kind, &made);

    if (status == EET_OK && from != NULL) {
        status = eet_pickle_extend(m, made, from->a.items, from->count);
    }
    return status == EET_OK ? eet_pickle_push(m, made) : status;
}

/* Text whose characters are all below 256 as one byte each; false when one is not. */
static bool to_latin1(const eet_pickle_node *text, char *out, uint64_t *length) {
    const unsigned char *at = (const unsigned char *)text->a.text;
    uint64_t made = 0;

    for (uint64_t i = 0; i < text->count;) {
        uint32_t code = 0;
        const size_t used = eet_utf8_decode(at + i, (size_t)(text->count - i), &code);

        if (used == 0 || code > 255) {
            return false;
        }
        out[made++] = (char)code;
        i += used;
    }
    *length = made;
    return true;
}

/* bytes(), bytearray(bytes), bytearray(text, 'latin-1'), _codecs.encode(text, 'latin1'):
 * how protocol 2 writes bytes. Anything else stays a call. */
static eet_status push_bytes(eet_machine *m, eet_pickle_node *callable,
                             eet_pickle_node *arguments) {
    const eet_pickle_node *first = arguments->count > 0 ? arguments->a.items[0] : NULL;
    const eet_pickle_node *coding = arguments->count == 2 ? arguments->a.items[1] : NULL;
    void *room = NULL;
    uint64_t length = 0;

    if (first == NULL) {
        return eet_pickle_push_bytes(m, "", 0);
    }
    if (first->kind == EET_PICKLE_BYTES && arguments->count == 1) {
        return eet_pickle_push_bytes(m, first->a.text, first->count);
    }
    if (first->kind != EET_PICKLE_TEXT || coding == NULL ||
        (!eet_pickle_is_text(coding, "latin1") && !eet_pickle_is_text(coding, "latin-1"))) {
        return push_call(m, callable, arguments);
    }
    eet_status status = eet_pickle_allocate(m, first->count, &room);

    if (status == EET_OK && !to_latin1(first, room, &length)) {
        return eet_pickle_corrupt(m, "%s to Latin-1 of a string that is not", m->op_name);
    }
    return status == EET_OK ? eet_pickle_push_bytes(m, room, length) : status;
}

/* The container a known constructor makes of its arguments; of arguments that are not as
 * expected it stays a call. */
static eet_status construct(eet_machine *m, eet_pickle_node *callable, eet_pickle_node *arguments) {
    static const eet_pickle_kind kinds[] = {
        [EET_KNOWN_SET] = EET_PICKLE_SET,
        [EET_KNOWN_LIST] = EET_PICKLE_LIST,
        [EET_KNOWN_TUPLE] = EET_PICKLE_TUPLE,
    };
    const eet_pickle_node *first = arguments->count > 0 ? arguments->a.items[0] : NULL;

    switch ((eet_pickle_known)callable->known) {
    case EET_KNOWN_MAP:
        if (first == NULL ||
            (arguments->count == 1 && (first->kind == EET_PICKLE_DICT || is_sequence(first)))) {
            return push_map(m, callable, first);
        }
        break;
    case EET_KNOWN_DEFAULT:
        return push_map(m, callable, NULL);
    case EET_KNOWN_SPACE:
        if (first == NULL) {
            return push_map(m, callable, NULL);
        }
        break;
    case EET_KNOWN_SET:
    case EET_KNOWN_LIST:
    case EET_KNOWN_TUPLE:
        if (first == NULL || (arguments->count == 1 && is_sequence(first))) {
            return push_items(m, kinds[callable->known], first);
        }
        break;
    case EET_KNOWN_BYTES:
        return push_bytes(m, callable, arguments);
    case EET_KNOWN_NOTHING:
    case EET_KNOWN_RECONSTRUCT:
        break;
    }
    return push_call(m, callable, arguments);
}

/* copyreg._reconstructor(class, object, None): protocol 1's class.__new__(class). */
static eet_status reconstruct(eet_machine *m, eet_pickle_node *callable,
                              eet_pickle_node *arguments) {
    eet_pickle_node *class = arguments->count == 3 ? arguments->a.items[0] : NULL;
    eet_pickle_node *none = NULL;

    if (class == NULL || class->kind != EET_PICKLE_GLOBAL) {
        return push_call(m, callable, arguments);
    }
    eet_status status = eet_pickle_node_make(m, EET_PICKLE_TUPLE, &none);

    if (status != EET_OK) {
        return status;
    }
    if (class->known == EET_KNOWN_SPACE) {
        return push_map(m, class, NULL);
    }
    return push_call(m, class, none);
}

eet_status eet_pickle_call(eet_machine *m, eet_pickle_node *callable, eet_pickle_node *arguments) {
    if (callable->kind != EET_PICKLE_GLOBAL && callable->kind != EET_PICKLE_CALL) {
        return eet_pickle_corrupt(m, "%s of %s, which cannot be called", m->op_name,
                                  eet_pickle_kind_name(callable));
    }
    if (arguments->kind != EET_PICKLE_TUPLE) {
        return eet_pickle_corrupt(m, "%s with %s, not a tuple of arguments", m->op_name,
                                  eet_pickle_kind_name(arguments));
    }
    if (callable->kind == EET_PICKLE_CALL) {
        return push_call(m, callable, arguments);
    }
    const eet_pickle_node *target = callable;

    if (callable->known == EET_KNOWN_RECONSTRUCT && arguments->count > 0 &&
        arguments->a.items[0]->kind == EET_PICKLE_GLOBAL) {
        target = arguments->a.items[0];
    }
    if (eet_pickle_is_gadget(target)) {
        return eet_fail(m->err, EET_E_SUSPICIOUS, EET_NOWHERE,
                        "the pickle would call %s.%s at byte %llu: it carries something made to "
                        "be executed",
                        target->a.module, target->b.name, (unsigned long long)m->op);
    }
    return callable->known == EET_KNOWN_RECONSTRUCT ? reconstruct(m, callable, arguments)
                                                    : construct(m, callable, arguments);
}

static eet_status pop_two(eet_machine *m, eet_pickle_node **below, eet_pickle_node **top) {
    eet_status status = eet_pickle_pop(m, top);

    return status == EET_OK ? eet_pickle_pop(m, below) : status;
}

eet_status eet_pickle_op_reduce(eet_machine *m) {
    eet_pickle_node *callable = NULL;
    eet_pickle_node *arguments = NULL;
    eet_status status = pop_two(m, &callable, &arguments);

    return status == EET_OK ? eet_pickle_call(m, callable, arguments) : status;
}

eet_status eet_pickle_op_newobj(eet_machine *m) {
    return eet_pickle_op_reduce(m);
}

/* Keyword arguments are dropped. */
eet_status eet_pickle_op_newobj_ex(eet_machine *m) {
    eet_pickle_node *keywords = NULL;
    eet_status status = eet_pickle_pop(m, &keywords);

    if (status == EET_OK && keywords->kind != EET_PICKLE_DICT) {
        return eet_pickle_corrupt(m, "NEWOBJ_EX with %s, not a dict of keyword arguments",
                                  eet_pickle_kind_name(keywords));
    }
    return status == EET_OK ? eet_pickle_op_reduce(m) : status;
}

/* The tuple is pushed and popped, so that it is made in one place. */
static eet_status call_with(eet_machine *m, eet_pickle_node *callable,
                            eet_pickle_node *const *items, uint64_t count) {
    eet_pickle_node *arguments = NULL;
    eet_status status = eet_pickle_push_tuple(m, items, count);

    if (status == EET_OK) {
        status = eet_pickle_pop(m, &arguments);
    }
    return status == EET_OK ? eet_pickle_call(m, callable, arguments) : status;
}

eet_status eet_pickle_op_inst(eet_machine *m) {
    eet_pickle_node *callable = NULL;
    eet_pickle_node **items = NULL;
    uint64_t count = 0;
    eet_status status = eet_pickle_op_global(m);

    if (status == EET_OK) {
        status = eet_pickle_pop(m, &callable);
    }
    if (status == EET_OK) {
        status = eet_pickle_pop_mark(m, &items, &count);
    }
    return status == EET_OK ? call_with(m, callable, items, count) : status;
}

eet_status eet_pickle_op_obj(eet_machine *m) {
    eet_pickle_node **items = NULL;
    uint64_t count = 0;
    eet_status status = eet_pickle_pop_mark(m, &items, &count);

    if (status == EET_OK && count == 0) {
        return eet_pickle_corrupt(m, "OBJ without a class");
    }
    return status == EET_OK ? call_with(m, items[0], items + 1, count - 1) : status;
}

/* A Namespace takes its state's pairs; of (dict, slots) the dict. */
static eet_status fill_space(eet_machine *m, eet_pickle_node *space, eet_pickle_node *state) {
    if (state->kind == EET_PICKLE_TUPLE && state->count == 2) {
        state = state->a.items[0];
    }
    if (state->kind != EET_PICKLE_DICT) {
        return eet_pickle_corrupt(m, "BUILD of a Namespace with %s, not a dict",
                                  eet_pickle_kind_name(state));
    }
    return eet_pickle_extend(m, space, state->a.items, 2 * (uint64_t)state->count);
}

eet_status eet_pickle_op_build(eet_machine *m) {
    eet_pickle_node *state = NULL;
    eet_pickle_node *target = NULL;
    eet_status status = eet_pickle_pop(m, &state);

    if (status == EET_OK) {
        status = eet_pickle_peek(m, &target);
    }
    if (status != EET_OK) {
        return status;
    }
    if (target->kind != EET_PICKLE_CALL && target->object == 0) {
        return eet_pickle_corrupt(m, "BUILD on %s", eet_pickle_kind_name(target));
    }
    if (target->kind == EET_PICKLE_DICT && target->known == EET_KNOWN_SPACE) {
        return fill_space(m, target, state);
    }
    target->state = state;
    return EET_OK;
}

/* The one kind of persistent id there is: ('storage', class, key, location, elements). */
eet_status eet_pickle_op_binpersid(eet_machine *m) {
    eet_pickle_node *id = NULL;
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_pop(m, &id);

    if (status != EET_OK) {
        return status;
    }
    if (id->kind == EET_PICKLE_TUPLE && id->count == 4 &&
        eet_pickle_is_text(id->a.items[0], "module")) {
        return eet_pickle_push(m, id->a.items[1]); /* a class, and its source behind it */
    }
    if (id->kind != EET_PICKLE_TUPLE || id->count == 0 ||
        !eet_pickle_is_text(id->a.items[0], "storage")) {
        return eet_pickle_corrupt(m, "BINPERSID of %s that is no storage",
                                  eet_pickle_kind_name(id));
    }
    status = eet_pickle_node_make(m, EET_PICKLE_STORAGE, &made);
    if (status != EET_OK) {
        return status;
    }
    made->a.tuple = id;
    if (m->pickle->last_storage == NULL) {
        m->pickle->first_storage = made;
    } else {
        m->pickle->last_storage->b.next = made;
    }
    m->pickle->last_storage = made;
    return eet_pickle_push(m, made);
}
