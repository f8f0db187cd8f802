/* pickle_stack.c - what the opcodes work with: the input, the arena, the stack. */
#include <stdlib.h>
#include <string.h>

#include "converter/pickle_machine.h"
#include "format/checked.h"

enum { SMALL_BLOCK = 16 << 10, LARGE_BLOCK = 1 << 20, ARENA_ALIGN = 16, STACK_BEGIN = 64 };

/* Blocks grow with what is in use, so that a small pickle takes little. */
static eet_status add_block(eet_machine *m, uint64_t bytes) {
    eet_pickle *p = m->pickle;
    uint64_t size = p->arena_bytes < SMALL_BLOCK ? SMALL_BLOCK : p->arena_bytes;

    size = size > LARGE_BLOCK ? LARGE_BLOCK : size;
    size = bytes > size ? bytes : size;
    if (!eet_within_u64(p->arena_bytes, size, m->limits->arena_bytes)) {
        return eet_pickle_over(m, "bytes of values", m->limits->arena_bytes);
    }
    eet_pickle_block *block = malloc(sizeof *block + (size_t)size);

    if (block == NULL) {
        return eet_pickle_no_memory(m);
    }
    block->bytes = size;
    block->used = 0;
    block->next = p->blocks;
    p->blocks = block;
    p->arena_bytes += size;
    return EET_OK;
}

eet_status eet_pickle_allocate(eet_machine *m, uint64_t bytes, void **out) {
    uint64_t size = 0;
    const eet_pickle_block *last = m->pickle->blocks;
    eet_status status = EET_OK;

    if (!eet_align_u64(bytes, ARENA_ALIGN, &size)) {
        return eet_pickle_over(m, "bytes of values", m->limits->arena_bytes);
    }
    if (last == NULL || size > last->bytes - last->used) {
        status = add_block(m, size);
    }
    if (status == EET_OK) {
        eet_pickle_block *block = m->pickle->blocks;

        *out = block->data + block->used;
        block->used += size;
    }
    return status;
}

eet_status eet_pickle_node_make(eet_machine *m, eet_pickle_kind kind, eet_pickle_node **out) {
    void *made = NULL;

    if (m->pickle->nodes == m->limits->nodes) {
        return eet_pickle_over(m, "values", m->limits->nodes);
    }
    eet_status status = eet_pickle_allocate(m, sizeof **out, &made);

    if (status == EET_OK) {
        m->pickle->nodes++;
        *out = made;
        memset(made, 0, sizeof **out);
        (*out)->kind = (uint8_t)kind;
    }
    return status;
}

/* Room for `wanted` items, doubling: what is left behind stays in the arena. */
static eet_status make_room(eet_machine *m, eet_pickle_node *node, uint64_t used, uint64_t wanted) {
    uint64_t room = node->b.room == 0 ? wanted : 2 * node->b.room;
    void *items = NULL;

    room = room < wanted ? wanted : room;
    eet_status status = eet_pickle_allocate(m, room * sizeof(eet_pickle_node *), &items);

    if (status == EET_OK) {
        if (used > 0) {
            memcpy(items, node->a.items, (size_t)used * sizeof(eet_pickle_node *));
        }
        node->a.items = items;
        node->b.room = room;
    }
    return status;
}

eet_status eet_pickle_extend(eet_machine *m, eet_pickle_node *node, eet_pickle_node *const *items,
                             uint64_t count) {
    const uint64_t each = node->kind == EET_PICKLE_DICT ? 2 : 1;
    const uint64_t used = node->count * each;
    eet_status status = EET_OK;

    if (count == 0) {
        return EET_OK;
    }
    if (!eet_within_u64(used, count, m->limits->items * each)) {
        return eet_pickle_over(m, "items in one container", m->limits->items);
    }
    if (used + count > node->b.room) {
        status = make_room(m, node, used, used + count);
    }
    if (status == EET_OK) {
        memcpy(node->a.items + used, items, (size_t)count * sizeof *items);
        node->count += (uint32_t)(count / each);
    }
    return status;
}

eet_status eet_pickle_short(eet_machine *m, uint64_t bytes) {
    m->lacks = bytes <= m->whole - m->at;
    return eet_pickle_corrupt(m, "%s needs %llu bytes, %llu remain", m->op_name,
                              (unsigned long long)bytes, (unsigned long long)(m->whole - m->at));
}

eet_status eet_pickle_take(eet_machine *m, uint64_t bytes, const uint8_t **out) {
    if (bytes > m->bytes - m->at) {
        return eet_pickle_short(m, bytes);
    }
    *out = m->data + m->at;
    m->at += bytes;
    return EET_OK;
}

eet_status eet_pickle_take_number(eet_machine *m, unsigned bytes, uint64_t *out) {
    const uint8_t *at = NULL;
    uint64_t value = 0;
    eet_status status = eet_pickle_take(m, bytes, &at);

    if (at != NULL) {
        for (unsigned i = 0; i < bytes; i++) {
            value |= (uint64_t)at[i] << (8 * i);
        }
        *out = value;
    }
    return status;
}

eet_status eet_pickle_take_line(eet_machine *m, const char **text, uint64_t *bytes) {
    const uint8_t *from = m->data + m->at;
    const uint8_t *end = m->at < m->bytes ? memchr(from, '\n', (size_t)(m->bytes - m->at)) : NULL;

    if (end == NULL) {
        m->lacks = m->whole > m->bytes;
        return eet_pickle_corrupt(m, "%s has no end of line", m->op_name);
    }
    *text = (const char *)from;
    *bytes = (uint64_t)(end - from);
    m->at += *bytes + 1;
    return EET_OK;
}

eet_status eet_pickle_take_string(eet_machine *m, unsigned width, const char **text,
                                  uint64_t *bytes) {
    const uint8_t *at = NULL;
    uint64_t length = 0;
    eet_status status = eet_pickle_take_number(m, width, &length);

    if (status == EET_OK) {
        status = eet_pickle_take(m, length, &at);
    }
    if (status == EET_OK && length > m->limits->string_bytes) {
        return eet_pickle_over(m, "bytes in one string", m->limits->string_bytes);
    }
    if (status == EET_OK) {
        *text = (const char *)at;
        *bytes = length;
    }
    return status;
}

eet_status eet_pickle_push(eet_machine *m, eet_pickle_node *node) {
    if (m->depth == m->limits->stack) {
        return eet_pickle_over(m, "values on the stack", m->limits->stack);
    }
    if (m->depth == m->stack_room) {
        const uint64_t room = m->stack_room == 0 ? STACK_BEGIN : 2 * m->stack_room;
        eet_pickle_node **more = realloc(m->stack, (size_t)room * sizeof(eet_pickle_node *));

        if (more == NULL) {
            return eet_pickle_no_memory(m);
        }
        m->stack = more;
        m->stack_room = room;
    }
    m->stack[m->depth++] = node;
    return EET_OK;
}

eet_status eet_pickle_peek(eet_machine *m, eet_pickle_node **out) {
    const uint64_t floor = m->marks == 0 ? 0 : m->mark[m->marks - 1];

    if (m->depth <= floor) {
        return eet_pickle_corrupt(m, "%s on an empty stack", m->op_name);
    }
    *out = m->stack[m->depth - 1];
    return EET_OK;
}

eet_status eet_pickle_pop(eet_machine *m, eet_pickle_node **out) {
    eet_status status = eet_pickle_peek(m, out);

    m->depth -= status == EET_OK ? 1 : 0;
    return status;
}

eet_status eet_pickle_op_mark(eet_machine *m) {
    if (m->marks == m->limits->marks) {
        return eet_pickle_over(m, "open marks", m->limits->marks);
    }
    if (m->marks == m->mark_room) {
        const uint64_t room = m->mark_room == 0 ? STACK_BEGIN : 2 * m->mark_room;
        uint64_t *more = realloc(m->mark, (size_t)room * sizeof *more);

        if (more == NULL) {
            return eet_pickle_no_memory(m);
        }
        m->mark = more;
        m->mark_room = room;
    }
    m->mark[m->marks++] = m->depth;
    return EET_OK;
}

eet_status eet_pickle_pop_mark(eet_machine *m, eet_pickle_node ***items, uint64_t *count) {
    if (m->marks == 0) {
        return eet_pickle_corrupt(m, "%s without a MARK", m->op_name);
    }
    const uint64_t from = m->mark[--m->marks];

    *count = m->depth - from;
    *items = m->stack == NULL ? NULL : m->stack + from;
    m->depth = from;
    return EET_OK;
}

/* A POP right above a mark takes the mark, as CPython does. */
eet_status eet_pickle_op_pop(eet_machine *m) {
    eet_pickle_node *dropped = NULL;

    if (m->marks > 0 && m->mark[m->marks - 1] == m->depth) {
        m->marks--;
        return EET_OK;
    }
    return eet_pickle_pop(m, &dropped);
}

eet_status eet_pickle_op_pop_mark(eet_machine *m) {
    eet_pickle_node **items = NULL;
    uint64_t count = 0;

    return eet_pickle_pop_mark(m, &items, &count);
}

eet_status eet_pickle_op_dup(eet_machine *m) {
    eet_pickle_node *top = NULL;
    eet_status status = eet_pickle_peek(m, &top);

    return status == EET_OK ? eet_pickle_push(m, top) : status;
}
