/* pickle.c - evaluates a pickle: the loop over the opcodes, within limits. */
#include "converter/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/pickle_machine.h"

const eet_pickle_limits eet_pickle_default_limits = {
    .operations = 50000000,
    .nodes = 8000000,
    .arena_bytes = UINT64_C(512) << 20,
    .stack = 4000000,
    .marks = 65536,
    .memo = 8000000,
    .string_bytes = UINT64_C(16) << 20,
    .items = 4000000,
};

eet_status eet_pickle_corrupt(eet_machine *m, const char *fmt, ...) {
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE, "the pickle is malformed at byte %llu: %s",
                    (unsigned long long)m->op, text);
}

static eet_status run_one(eet_machine *m) {
    if (m->at == m->bytes) {
        m->op = m->at;
        m->lacks = m->whole > m->bytes;
        return eet_pickle_corrupt(m, "it ends without STOP");
    }
    m->op = m->at;
    if (m->operations == m->limits->operations) {
        return eet_pickle_over(m, "operations", m->limits->operations);
    }
    m->operations++;
    const eet_opcode *code = &eet_opcodes[m->data[m->at++]];

    if (code->name == NULL) {
        return eet_pickle_corrupt(m, "there is no opcode 0x%02X", m->data[m->op]);
    }
    m->op_name = code->name;
    return code->run(m);
}

static eet_status run(eet_machine *m) {
    eet_status status = EET_OK;

    while (status == EET_OK && !m->stopped) {
        status = run_one(m);
    }
    return status;
}

/* Evaluates what the machine's data begins with. */
static eet_status evaluate(eet_machine *m) {
    m->pickle = calloc(1, sizeof *m->pickle);
    if (m->pickle == NULL) {
        return eet_pickle_no_memory(m);
    }
    m->pickle->none.kind = EET_PICKLE_NONE;
    m->pickle->no.kind = m->pickle->yes.kind = EET_PICKLE_BOOL;
    m->pickle->yes.a.integer = 1;
    const eet_status status = run(m);

    free(m->stack);
    free(m->mark);
    free(m->memo);
    return status;
}

eet_status eet_pickle_read(const void *data, uint64_t bytes, const eet_pickle_limits *limits,
                           eet_pickle **out, eet_error *err) {
    eet_machine m = {.data = data, .bytes = bytes, .whole = bytes, .protocol = -1, .err = err};

    m.limits = limits == NULL ? &eet_pickle_default_limits : limits;
    eet_status status = evaluate(&m);

    if (status == EET_OK && m.at != m.bytes) {
        m.op = m.at;
        status = eet_pickle_corrupt(&m, "%llu bytes follow its end",
                                    (unsigned long long)(m.bytes - m.at));
    }
    if (status != EET_OK) {
        eet_pickle_free(m.pickle);
        return status;
    }
    *out = m.pickle;
    return EET_OK;
}

eet_status eet_pickle_read_first(const void *data, uint64_t bytes, uint64_t whole, eet_pickle **out,
                                 uint64_t *used, eet_error *err) {
    eet_machine m = {.data = data, .bytes = bytes, .whole = whole, .protocol = -1, .err = err};

    m.limits = &eet_pickle_default_limits;
    const eet_status status = evaluate(&m);

    *used = status == EET_OK ? m.at : 0;
    if (status == EET_OK) {
        *out = m.pickle;
        return EET_OK;
    }
    eet_pickle_free(m.pickle);
    if (m.lacks) {
        eet_error_clear(err);
    }
    return m.lacks ? EET_OK : status;
}

void eet_pickle_free(eet_pickle *pickle) {
    if (pickle == NULL) {
        return;
    }
    for (eet_pickle_block *block = pickle->blocks; block != NULL;) {
        eet_pickle_block *next = block->next;

        free(block);
        block = next;
    }
    free(pickle);
}

/* The opcodes that belong to the stream itself. */

eet_status eet_pickle_op_proto(eet_machine *m) {
    uint64_t version = 0;
    eet_status status = eet_pickle_take_number(m, 1, &version);

    if (status != EET_OK) {
        return status;
    }
    if (m->op != 0) {
        return eet_pickle_corrupt(m, "PROTO stands only at the beginning");
    }
    if (version == 0 || version > 5) {
        return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "it is a pickle of protocol %llu; 1 to 5 are read",
                        (unsigned long long)version);
    }
    m->protocol = (int)version;
    return EET_OK;
}

/* A frame says how much to prefetch, nothing else. */
eet_status eet_pickle_op_frame(eet_machine *m) {
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_number(m, 8, &bytes);

    if (status == EET_OK && bytes > m->whole - m->at) {
        return eet_pickle_corrupt(m, "FRAME of %llu bytes, %llu remain", (unsigned long long)bytes,
                                  (unsigned long long)(m->whole - m->at));
    }
    return status;
}

eet_status eet_pickle_op_stop(eet_machine *m) {
    if (m->marks != 0 || m->depth != 1) {
        return eet_pickle_corrupt(m,
                                  "STOP with %llu values and %llu marks on the stack, not one "
                                  "value",
                                  (unsigned long long)m->depth, (unsigned long long)m->marks);
    }
    m->pickle->root = m->stack[0];
    m->stopped = true;
    return EET_OK;
}

eet_status eet_pickle_op_refused(eet_machine *m) {
    return eet_pickle_corrupt(m, "%s has no place in a checkpoint", m->op_name);
}
