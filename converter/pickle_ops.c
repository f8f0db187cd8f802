/* pickle_ops.c - the table of opcodes, and those that make and fill containers and
 * remember values. */
#include <stdlib.h>
#include <string.h>

#include "converter/pickle_machine.h"

const eet_opcode eet_opcodes[256] = {
    ['('] = {"MARK", eet_pickle_op_mark},
    ['.'] = {"STOP", eet_pickle_op_stop},
    ['0'] = {"POP", eet_pickle_op_pop},
    ['1'] = {"POP_MARK", eet_pickle_op_pop_mark},
    ['2'] = {"DUP", eet_pickle_op_dup},
    ['F'] = {"FLOAT", eet_pickle_op_float},
    ['I'] = {"INT", eet_pickle_op_int},
    ['J'] = {"BININT", eet_pickle_op_binint},
    ['K'] = {"BININT1", eet_pickle_op_binint1},
    ['L'] = {"LONG", eet_pickle_op_long},
    ['M'] = {"BININT2", eet_pickle_op_binint2},
    ['N'] = {"NONE", eet_pickle_op_none},
    ['P'] = {"PERSID", eet_pickle_op_refused},
    ['Q'] = {"BINPERSID", eet_pickle_op_binpersid},
    ['R'] = {"REDUCE", eet_pickle_op_reduce},
    ['S'] = {"STRING", eet_pickle_op_string},
    ['T'] = {"BINSTRING", eet_pickle_op_binstring},
    ['U'] = {"SHORT_BINSTRING", eet_pickle_op_short_binstring},
    ['V'] = {"UNICODE", eet_pickle_op_unicode},
    ['X'] = {"BINUNICODE", eet_pickle_op_binunicode},
    ['a'] = {"APPEND", eet_pickle_op_append},
    ['b'] = {"BUILD", eet_pickle_op_build},
    ['c'] = {"GLOBAL", eet_pickle_op_global},
    ['d'] = {"DICT", eet_pickle_op_dict},
    ['e'] = {"APPENDS", eet_pickle_op_appends},
    ['g'] = {"GET", eet_pickle_op_get},
    ['h'] = {"BINGET", eet_pickle_op_binget},
    ['i'] = {"INST", eet_pickle_op_inst},
    ['j'] = {"LONG_BINGET", eet_pickle_op_long_binget},
    ['l'] = {"LIST", eet_pickle_op_list},
    ['o'] = {"OBJ", eet_pickle_op_obj},
    ['p'] = {"PUT", eet_pickle_op_put},
    ['q'] = {"BINPUT", eet_pickle_op_binput},
    ['r'] = {"LONG_BINPUT", eet_pickle_op_long_binput},
    ['s'] = {"SETITEM", eet_pickle_op_setitem},
    ['t'] = {"TUPLE", eet_pickle_op_tuple},
    ['u'] = {"SETITEMS", eet_pickle_op_setitems},
    ['}'] = {"EMPTY_DICT", eet_pickle_op_empty_dict},
    [']'] = {"EMPTY_LIST", eet_pickle_op_empty_list},
    [')'] = {"EMPTY_TUPLE", eet_pickle_op_empty_tuple},
    ['G'] = {"BINFLOAT", eet_pickle_op_binfloat},
    ['B'] = {"BINBYTES", eet_pickle_op_binbytes},
    ['C'] = {"SHORT_BINBYTES", eet_pickle_op_short_binbytes},
    [0x80] = {"PROTO", eet_pickle_op_proto},
    [0x81] = {"NEWOBJ", eet_pickle_op_newobj},
    [0x82] = {"EXT1", eet_pickle_op_refused},
    [0x83] = {"EXT2", eet_pickle_op_refused},
    [0x84] = {"EXT4", eet_pickle_op_refused},
    [0x85] = {"TUPLE1", eet_pickle_op_tuple1},
    [0x86] = {"TUPLE2", eet_pickle_op_tuple2},
    [0x87] = {"TUPLE3", eet_pickle_op_tuple3},
    [0x88] = {"NEWTRUE", eet_pickle_op_newtrue},
    [0x89] = {"NEWFALSE", eet_pickle_op_newfalse},
    [0x8A] = {"LONG1", eet_pickle_op_long1},
    [0x8B] = {"LONG4", eet_pickle_op_long4},
    [0x8C] = {"SHORT_BINUNICODE", eet_pickle_op_short_binunicode},
    [0x8D] = {"BINUNICODE8", eet_pickle_op_binunicode8},
    [0x8E] = {"BINBYTES8", eet_pickle_op_binbytes8},
    [0x8F] = {"EMPTY_SET", eet_pickle_op_empty_set},
    [0x90] = {"ADDITEMS", eet_pickle_op_additems},
    [0x91] = {"FROZENSET", eet_pickle_op_frozenset},
    [0x92] = {"NEWOBJ_EX", eet_pickle_op_newobj_ex},
    [0x93] = {"STACK_GLOBAL", eet_pickle_op_stack_global},
    [0x94] = {"MEMOIZE", eet_pickle_op_memoize},
    [0x95] = {"FRAME", eet_pickle_op_frame},
    [0x96] = {"BYTEARRAY8", eet_pickle_op_binbytes8},
    [0x97] = {"NEXT_BUFFER", eet_pickle_op_refused},
    [0x98] = {"READONLY_BUFFER", eet_pickle_op_refused},
};

/* Pushes a container of these items, which may lie on the stack itself. */
static eet_status push_container(eet_machine *m, eet_pickle_kind kind,
                                 eet_pickle_node *const *items, uint64_t count) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, kind, &made);

    if (status == EET_OK) {
        status = eet_pickle_extend(m, made, items, count);
    }
    return status == EET_OK ? eet_pickle_push(m, made) : status;
}

eet_status eet_pickle_push_tuple(eet_machine *m, eet_pickle_node *const *items, uint64_t count) {
    return push_container(m, EET_PICKLE_TUPLE, items, count);
}

static eet_status from_mark(eet_machine *m, eet_pickle_kind kind) {
    eet_pickle_node **items = NULL;
    uint64_t count = 0;
    eet_status status = eet_pickle_pop_mark(m, &items, &count);

    if (status == EET_OK && kind == EET_PICKLE_DICT && count % 2 != 0) {
        return eet_pickle_corrupt(m, "%s of a key without a value", m->op_name);
    }
    return status == EET_OK ? push_container(m, kind, items, count) : status;
}

static eet_status from_top(eet_machine *m, uint64_t count) {
    eet_pickle_node *items[3] = {NULL};
    eet_status status = EET_OK;

    for (uint64_t i = count; status == EET_OK && i > 0; i--) {
        status = eet_pickle_pop(m, &items[i - 1]);
    }
    return status == EET_OK ? push_container(m, EET_PICKLE_TUPLE, items, count) : status;
}

eet_status eet_pickle_op_tuple(eet_machine *m) {
    return from_mark(m, EET_PICKLE_TUPLE);
}

eet_status eet_pickle_op_tuple1(eet_machine *m) {
    return from_top(m, 1);
}

eet_status eet_pickle_op_tuple2(eet_machine *m) {
    return from_top(m, 2);
}

eet_status eet_pickle_op_tuple3(eet_machine *m) {
    return from_top(m, 3);
}

eet_status eet_pickle_op_empty_tuple(eet_machine *m) {
    return push_container(m, EET_PICKLE_TUPLE, NULL, 0);
}

eet_status eet_pickle_op_list(eet_machine *m) {
    return from_mark(m, EET_PICKLE_LIST);
}

eet_status eet_pickle_op_empty_list(eet_machine *m) {
    return push_container(m, EET_PICKLE_LIST, NULL, 0);
}

eet_status eet_pickle_op_dict(eet_machine *m) {
    return from_mark(m, EET_PICKLE_DICT);
}

eet_status eet_pickle_op_empty_dict(eet_machine *m) {
    return push_container(m, EET_PICKLE_DICT, NULL, 0);
}

eet_status eet_pickle_op_empty_set(eet_machine *m) {
    return push_container(m, EET_PICKLE_SET, NULL, 0);
}

eet_status eet_pickle_op_frozenset(eet_machine *m) {
    return from_mark(m, EET_PICKLE_SET);
}

/* Adds to the container on top; what an object would do with the items is not known,
 * so a CALL drops them. */
static eet_status add(eet_machine *m, eet_pickle_kind kind, eet_pickle_node *const *items,
                      uint64_t count) {
    eet_pickle_node *target = NULL;
    eet_status status = eet_pickle_peek(m, &target);

    if (status != EET_OK || target->kind == EET_PICKLE_CALL) {
        return status;
    }
    if (target->kind != kind || target->known == EET_KNOWN_SPACE) {
        return eet_pickle_corrupt(m, "%s on %s", m->op_name, eet_pickle_kind_name(target));
    }
    return eet_pickle_extend(m, target, items, count);
}

static eet_status add_from_mark(eet_machine *m, eet_pickle_kind kind) {
    eet_pickle_node **items = NULL;
    uint64_t count = 0;
    eet_status status = eet_pickle_pop_mark(m, &items, &count);

    if (status == EET_OK && kind == EET_PICKLE_DICT && count % 2 != 0) {
        return eet_pickle_corrupt(m, "%s of a key without a value", m->op_name);
    }
    return status == EET_OK ? add(m, kind, items, count) : status;
}

eet_status eet_pickle_op_append(eet_machine *m) {
    eet_pickle_node *item = NULL;
    eet_status status = eet_pickle_pop(m, &item);

    return status == EET_OK ? add(m, EET_PICKLE_LIST, &item, 1) : status;
}

eet_status eet_pickle_op_appends(eet_machine *m) {
    return add_from_mark(m, EET_PICKLE_LIST);
}

eet_status eet_pickle_op_setitem(eet_machine *m) {
    eet_pickle_node *pair[2] = {NULL};
    eet_status status = eet_pickle_pop(m, &pair[1]);

    if (status == EET_OK) {
        status = eet_pickle_pop(m, &pair[0]);
    }
    return status == EET_OK ? add(m, EET_PICKLE_DICT, pair, 2) : status;
}

eet_status eet_pickle_op_setitems(eet_machine *m) {
    return add_from_mark(m, EET_PICKLE_DICT);
}

eet_status eet_pickle_op_additems(eet_machine *m) {
    return add_from_mark(m, EET_PICKLE_SET);
}

/* Writers number memo entries from 0 upwards, one an operation at most: an index
 * beyond that is an attempt to make us allocate. */
static eet_status remember(eet_machine *m, uint64_t index) {
    const uint64_t slack = 1024;
    eet_pickle_node *top = NULL;
    eet_status status = eet_pickle_peek(m, &top);

    if (status != EET_OK) {
        return status;
    }
    if (index >= m->operations + slack) {
        return eet_pickle_corrupt(m, "%s to memo %llu after %llu operations", m->op_name,
                                  (unsigned long long)index, (unsigned long long)m->operations);
    }
    if (index >= m->limits->memo) {
        return eet_pickle_over(m, "memo entries", m->limits->memo);
    }
    if (index >= m->memo_room) {
        const uint64_t room = index < 64 ? 128 : 2 * index;
        eet_pickle_node **more = realloc(m->memo, (size_t)room * sizeof(eet_pickle_node *));

        if (more == NULL) {
            return eet_pickle_no_memory(m);
        }
        memset(more + m->memo_room, 0, (size_t)(room - m->memo_room) * sizeof(eet_pickle_node *));
        m->memo = more;
        m->memo_room = room;
    }
    m->memo_count += m->memo[index] == NULL ? 1 : 0;
    m->memo[index] = top;
    return EET_OK;
}

static eet_status recall(eet_machine *m, uint64_t index) {
    if (index >= m->memo_room || m->memo[index] == NULL) {
        return eet_pickle_corrupt(m, "%s of memo %llu, which nothing was put in", m->op_name,
                                  (unsigned long long)index);
    }
    return eet_pickle_push(m, m->memo[index]);
}

/* The number on a line of a text opcode: digits alone. */
static eet_status take_index(eet_machine *m, uint64_t *index) {
    const char *text = NULL;
    uint64_t bytes = 0;
    uint64_t value = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status == EET_OK && (bytes == 0 || bytes > 18)) {
        return eet_pickle_corrupt(m, "%s of no number", m->op_name);
    }
    for (uint64_t i = 0; status == EET_OK && i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return eet_pickle_corrupt(m, "%s of no number", m->op_name);
        }
        value = 10 * value + (uint64_t)(text[i] - '0');
    }
    *index = value;
    return status;
}

/* Protocol 1 remembers in binary: PUT in a pickle that names no protocol is protocol 0,
 * in which torch writes its storages as text that nobody can read back. */
eet_status eet_pickle_op_put(eet_machine *m) {
    uint64_t index = 0;

    if (m->protocol < 0) {
        return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "it is a pickle of protocol 0, which PyTorch cannot load either; save it "
                        "with protocol 2");
    }
    eet_status status = take_index(m, &index);

    return status == EET_OK ? remember(m, index) : status;
}

eet_status eet_pickle_op_get(eet_machine *m) {
    uint64_t index = 0;
    eet_status status = take_index(m, &index);

    return status == EET_OK ? recall(m, index) : status;
}

static eet_status put_binary(eet_machine *m, unsigned bytes) {
    uint64_t index = 0;
    eet_status status = eet_pickle_take_number(m, bytes, &index);

    return status == EET_OK ? remember(m, index) : status;
}

static eet_status get_binary(eet_machine *m, unsigned bytes) {
    uint64_t index = 0;
    eet_status status = eet_pickle_take_number(m, bytes, &index);

    return status == EET_OK ? recall(m, index) : status;
}

eet_status eet_pickle_op_binput(eet_machine *m) {
    return put_binary(m, 1);
}

eet_status eet_pickle_op_long_binput(eet_machine *m) {
    return put_binary(m, 4);
}

eet_status eet_pickle_op_binget(eet_machine *m) {
    return get_binary(m, 1);
}

eet_status eet_pickle_op_long_binget(eet_machine *m) {
    return get_binary(m, 4);
}

eet_status eet_pickle_op_memoize(eet_machine *m) {
    return remember(m, m->memo_count);
}
