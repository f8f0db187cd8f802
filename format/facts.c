/* facts.c - the table of facts: one line a fact, from which decoding, encoding
 * and bounds follow. */
#include "format/facts.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INTEGER, REAL, BOOL, ACT, POSITIONS } kind;

typedef struct row {
    const char *key; /* after the stack's "enc." */
    kind kind;
    size_t offset; /* in eet_stack_facts */
    double low, high;
    bool dec_only;
} row;

#define AT(field) offsetof(eet_stack_facts, field)
enum { MAX_VOCAB = 16777216, MAX_WIDTH = 65536 };

static const row rows[] = {
    {"layers", INTEGER, AT(layers), 1, 1024, false},
    {"heads", INTEGER, AT(heads), 1, 1024, false},
    {"head_dim", INTEGER, AT(head_dim), 1, 1024, false},
    {"hidden", INTEGER, AT(hidden), 1, MAX_WIDTH, false},
    {"ffn", INTEGER, AT(ffn), 1, 1048576, false},
    {"act", ACT, AT(act), 0, 0, false},
    {"pre_norm", BOOL, AT(pre_norm), 0, 1, false},
    {"final_norm", BOOL, AT(final_norm), 0, 1, false},
    {"emb_norm", BOOL, AT(emb_norm), 0, 1, false},
    {"norm_eps", REAL, AT(norm_eps), 0, 1, false},
    {"attn_scale", REAL, AT(attn_scale), 0, 1e6, false},
    {"inv_layer_scale", BOOL, AT(inv_layer_scale), 0, 1, false},
    {"pos.kind", POSITIONS, AT(pos_table), 0, 1, false},
    {"pos.rows", INTEGER, AT(pos_rows), 0, MAX_VOCAB, false},
    {"pos.skip_pad", BOOL, AT(pos_skip_pad), 0, 1, false},
    {"emb.dim", INTEGER, AT(emb_dim), 1, MAX_WIDTH, false},
    {"emb.scale", REAL, AT(emb_scale), -1e6, 1e6, false},
    {"types", INTEGER, AT(types), 0, MAX_VOCAB, false},
    {"type_default", INTEGER, AT(type_default), -1, MAX_VOCAB, false},
    {"vocab.size", INTEGER, AT(vocab_size), 1, MAX_VOCAB, false},
    {"vocab.rows", INTEGER, AT(vocab_rows), 1, MAX_VOCAB, false},
    {"tok.pad", INTEGER, AT(tok_pad), -1, MAX_VOCAB, false},
    {"tok.bos", INTEGER, AT(tok_bos), -1, MAX_VOCAB, false},
    {"tok.eos", INTEGER, AT(tok_eos), -1, MAX_VOCAB, false},
    {"tok.unk", INTEGER, AT(tok_unk), -1, MAX_VOCAB, false},
    {"tok.cls", INTEGER, AT(tok_cls), -1, MAX_VOCAB, false},
    {"tok.sep", INTEGER, AT(tok_sep), -1, MAX_VOCAB, false},
    {"tok.mask", INTEGER, AT(tok_mask), -1, MAX_VOCAB, false},
    {"start", INTEGER, AT(start), -1, MAX_VOCAB, true},
    {"cross", BOOL, AT(cross), 0, 1, true},
    {"cross_dim", INTEGER, AT(cross_dim), 0, MAX_WIDTH, true},
};
#undef AT

enum { ROWS = sizeof rows / sizeof rows[0] };

static const char *const stack_names[EET_STACKS] = {"enc", "dec"};
static const char *const act_names[] = {
#define X(symbol, number, name) [number] = name,
    EET_ACT_MAP(X)
#undef X
};
static const char *const take_names[] = {
    [0] = "",
#define X(symbol, number, name) [number] = name,
    EET_TAKE_MAP(X)
#undef X
};
enum { ACTS = sizeof act_names / sizeof act_names[0] };
enum { TAKES = sizeof take_names / sizeof take_names[0] };

typedef struct key {
    char text[EET_KV_MAX_KEY + 1];
} key;

static const char *stack_key(key *buffer, int stack, const char *name) {
    (void)snprintf(buffer->text, sizeof buffer->text, "%s.%s", stack_names[stack], name);
    return buffer->text;
}

static const char *head_key(key *buffer, int32_t index, const char *name) {
    (void)snprintf(buffer->text, sizeof buffer->text, "head.%d.%s", (int)index, name);
    return buffer->text;
}

eet_stack_facts eet_stack_facts_default(void) {
    return (eet_stack_facts){.act = EET_ACT_LINEAR,
                             .attn_scale = 1.0,
                             .emb_scale = 1.0,
                             .type_default = -1,
                             .tok_pad = -1,
                             .tok_bos = -1,
                             .tok_eos = -1,
                             .tok_unk = -1,
                             .tok_cls = -1,
                             .tok_sep = -1,
                             .tok_mask = -1,
                             .start = -1};
}

/* ---- encoding ----------------------------------------------------------- */

static void encode_row(const eet_stack_facts *facts, const row *r, const char *name,
                       eet_kv_builder *b) {
    const char *field = (const char *)facts + r->offset;

    switch (r->kind) {
    case INTEGER:
        eet_kv_set_i64(b, name, EET_KV_REQUIRED, *(const int32_t *)(const void *)field);
        break;
    case REAL:
        eet_kv_set_f64(b, name, EET_KV_REQUIRED, *(const double *)(const void *)field);
        break;
    case BOOL:
        eet_kv_set_bool(b, name, EET_KV_REQUIRED, *(const bool *)(const void *)field);
        break;
    case ACT:
        eet_kv_set_string(b, name, EET_KV_REQUIRED,
                          act_names[*(const int32_t *)(const void *)field]);
        break;
    case POSITIONS:
        eet_kv_set_string(b, name, EET_KV_REQUIRED,
                          *(const bool *)(const void *)field ? "table" : "none");
        break;
    }
}

static void encode_head(const eet_head_facts *head, int32_t index, eet_kv_builder *b) {
    key k;

    eet_kv_set_string(b, head_key(&k, index, "name"), EET_KV_REQUIRED, head->name);
    eet_kv_set_string(b, head_key(&k, index, "stack"), EET_KV_REQUIRED, stack_names[head->stack]);
    eet_kv_set_string(b, head_key(&k, index, "take"), EET_KV_REQUIRED, take_names[head->take]);
    eet_kv_set_string(b, head_key(&k, index, "act"), EET_KV_REQUIRED, act_names[head->act]);
    eet_kv_set_bool(b, head_key(&k, index, "normalize"), EET_KV_REQUIRED, head->normalize);
    if (head->label_count > 0) {
        eet_kv_set_strings(b, head_key(&k, index, "labels"), 0, head->labels,
                           (uint32_t)head->label_count);
    }
}

void eet_facts_encode(const eet_facts *facts, eet_kv_builder *builder) {
    key k;

    eet_kv_set_string(builder, "arch.family", 0, facts->family);
    for (int s = 0; s < EET_STACKS; s++) {
        for (int i = 0; facts->stack[s].present && i < ROWS; i++) {
            if (s == EET_DEC || !rows[i].dec_only) {
                encode_row(&facts->stack[s], &rows[i], stack_key(&k, s, rows[i].key), builder);
            }
        }
    }
    for (int32_t i = 0; i < facts->heads; i++) {
        encode_head(&facts->head[i], i, builder);
    }
}

/* ---- decoding ----------------------------------------------------------- */

typedef struct reader {
    const eet_kv_view *meta;
    uint64_t base;
    bool *seen; /* (meta->count) */
    eet_error *err;
} reader;

static eet_status corrupt(const reader *r, const char *name, const char *what) {
    return eet_fail(r->err, EET_E_CORRUPT, r->base, "fact \"%s\" %s", name, what);
}

/* The entry called `name`, noted as known. */
static bool find(const reader *r, const char *name, eet_kv *out) {
    if (!eet_kv_find(r->meta, name, out)) {
        return false;
    }
    for (uint32_t i = 0; i < r->meta->count; i++) {
        if (eet_kv_at(r->meta, i).key == out->key) {
            r->seen[i] = true;
        }
    }
    return true;
}

static int32_t name_index(const char *const *names, int32_t count, const char *text,
                          uint32_t bytes) {
    for (int32_t i = 0; i < count; i++) {
        if (strlen(names[i]) == bytes && bytes > 0 && memcmp(names[i], text, bytes) == 0) {
            return i;
        }
    }
    return -1;
}

/* A string that is one of `names`, as its index. */
static eet_status decode_choice(const reader *r, const char *name, const char *const *names,
                                int32_t count, int32_t *out) {
    eet_kv entry;
    const char *text = NULL;
    uint32_t bytes = 0;

    if (!find(r, name, &entry)) {
        return corrupt(r, name, "is missing");
    }
    if (!eet_kv_string(&entry, &text, &bytes)) {
        return corrupt(r, name, "is not a string");
    }
    const int32_t index = name_index(names, count, text, bytes);

    if (index < 0) {
        eet_shown shown;

        return eet_fail(r->err, EET_E_UNSUPPORTED, r->base,
                        "fact \"%s\" is \"%s\", which this version does not know", name,
                        eet_show(&shown, text, bytes));
    }
    *out = index;
    return EET_OK;
}

static eet_status decode_bool(const reader *r, const char *name, bool *out) {
    eet_kv entry;

    if (!find(r, name, &entry)) {
        return corrupt(r, name, "is missing");
    }
    return eet_kv_bool(&entry, out) ? EET_OK : corrupt(r, name, "is not a bool");
}

static eet_status decode_number(const reader *r, const char *name, const row *rule, void *field) {
    eet_kv entry;
    int64_t integer = 0;
    double real = 0;

    if (!find(r, name, &entry)) {
        return corrupt(r, name, "is missing");
    }
    if (rule->kind == INTEGER) {
        if (!eet_kv_i64(&entry, &integer)) {
            return corrupt(r, name, "is not an integer");
        }
        if ((double)integer < rule->low || (double)integer > rule->high) {
            return corrupt(r, name, "is out of range");
        }
        *(int32_t *)field = (int32_t)integer;
        return EET_OK;
    }
    if (!eet_kv_f64(&entry, &real)) {
        return corrupt(r, name, "is not a real");
    }
    if (real < rule->low || real > rule->high) {
        return corrupt(r, name, "is out of range");
    }
    *(double *)field = real;
    return EET_OK;
}

static eet_status decode_row(const reader *r, int stack, const row *rule, eet_stack_facts *facts) {
    static const char *const position_kinds[] = {"none", "table"};
    key k;
    const char *name = stack_key(&k, stack, rule->key);
    void *field = (char *)facts + rule->offset;
    int32_t index = 0;
    eet_status status = EET_OK;

    switch (rule->kind) {
    case INTEGER:
    case REAL:
        return decode_number(r, name, rule, field);
    case BOOL:
        return decode_bool(r, name, field);
    case ACT:
        return decode_choice(r, name, act_names, ACTS, field);
    case POSITIONS:
        status = decode_choice(r, name, position_kinds, 2, &index);
        *(bool *)field = index == 1;
        return status;
    }
    return EET_E_INTERNAL;
}

static eet_status decode_stack(const reader *r, int stack, eet_stack_facts *facts) {
    key k;
    eet_kv entry;

    *facts = eet_stack_facts_default();
    if (!eet_kv_find(r->meta, stack_key(&k, stack, "layers"), &entry)) {
        return EET_OK;
    }
    facts->present = true;
    for (int i = 0; i < ROWS; i++) {
        if (stack == EET_DEC || !rows[i].dec_only) {
            const eet_status status = decode_row(r, stack, &rows[i], facts);

            if (status != EET_OK) {
                return status;
            }
        }
    }
    return EET_OK;
}

/* Labels are copied behind an array of pointers, one block a head. */
static eet_status decode_labels(const reader *r, const eet_kv *entry, eet_head_facts *head,
                                void **owned) {
    const uint32_t count = eet_kv_length(entry);
    const size_t pointers = ((size_t)count + 1) * sizeof(char *);
    uint32_t bytes = 0;

    if (entry->type != EET_KV_STRING_ARRAY || count > INT32_MAX) {
        return corrupt(r, "labels", "is not an array of strings");
    }
    char *block = malloc(sizeof(void *) + pointers + entry->value_bytes + count);

    if (block == NULL) {
        return eet_fail(r->err, EET_E_MEMORY, EET_NOWHERE, "no memory for labels");
    }
    *(void **)(void *)block = *owned;
    *owned = block;
    const char **labels = (const char **)(void *)(block + sizeof(void *));
    char *text = block + sizeof(void *) + pointers;

    for (uint32_t i = 0; i < count; i++) {
        const char *from = eet_kv_string_item(entry, i, &bytes);

        labels[i] = text;
        memcpy(text, from, bytes);
        text[bytes] = '\0';
        text += bytes + 1;
    }
    head->labels = labels;
    head->label_count = (int32_t)count;
    return EET_OK;
}

static eet_status decode_head(const reader *r, int32_t index, eet_head_facts *head, void **owned) {
    key k;
    eet_kv entry;
    const char *text = NULL;
    uint32_t bytes = 0;
    eet_status status = EET_OK;

    if (!find(r, head_key(&k, index, "name"), &entry) || !eet_kv_string(&entry, &text, &bytes) ||
        bytes >= EET_HEAD_NAME) {
        return corrupt(r, k.text, "is not a short string");
    }
    memcpy(head->name, text, bytes);
    status = decode_choice(r, head_key(&k, index, "stack"), stack_names, EET_STACKS, &head->stack);
    if (status == EET_OK) {
        status = decode_choice(r, head_key(&k, index, "take"), take_names, TAKES, &head->take);
    }
    if (status == EET_OK) {
        status = decode_choice(r, head_key(&k, index, "act"), act_names, ACTS, &head->act);
    }
    if (status == EET_OK) {
        status = decode_bool(r, head_key(&k, index, "normalize"), &head->normalize);
    }
    if (status == EET_OK && find(r, head_key(&k, index, "labels"), &entry)) {
        status = decode_labels(r, &entry, head, owned);
    }
    return status;
}

static eet_status decode_all(const reader *r, eet_facts *facts) {
    eet_kv entry;
    key k;
    const char *text = NULL;
    uint32_t bytes = 0;
    eet_status status = EET_OK;

    if (find(r, "arch.family", &entry) && eet_kv_string(&entry, &text, &bytes)) {
        memcpy(facts->family, text, bytes < sizeof facts->family ? bytes : sizeof facts->family - 1);
    }
    for (int s = 0; status == EET_OK && s < EET_STACKS; s++) {
        status = decode_stack(r, s, &facts->stack[s]);
    }
    while (status == EET_OK && eet_kv_find(r->meta, head_key(&k, facts->heads, "name"), &entry)) {
        if (facts->heads == EET_MAX_HEADS) {
            return eet_fail(r->err, EET_E_LIMIT, r->base, "more than %d heads", EET_MAX_HEADS);
        }
        status = decode_head(r, facts->heads, &facts->head[facts->heads], &facts->owned);
        facts->heads++;
    }
    for (uint32_t i = 0; status == EET_OK && i < r->meta->count; i++) {
        entry = eet_kv_at(r->meta, i);
        if (!r->seen[i] && (entry.flags & EET_KV_REQUIRED) != 0) {
            status = eet_fail(r->err, EET_E_UNSUPPORTED, r->base,
                              "required fact \"%.*s\" is not known to this version; "
                              "a newer eet may read the file",
                              (int)entry.key_bytes, entry.key);
        }
    }
    return status == EET_OK ? eet_facts_check(facts, r->err) : status;
}

eet_status eet_facts_decode(const eet_kv_view *meta, uint64_t base, eet_facts *out,
                            eet_error *err) {
    bool *seen = calloc((size_t)meta->count + 1, sizeof *seen);
    eet_facts facts = {0};

    if (seen == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for facts");
    }
    const reader r = {meta, base, seen, err};
    const eet_status status = decode_all(&r, &facts);

    free(seen);
    if (status != EET_OK) {
        eet_facts_release(&facts);
        return status;
    }
    *out = facts;
    return EET_OK;
}

void eet_facts_release(eet_facts *facts) {
    while (facts->owned != NULL) {
        void *next = *(void **)facts->owned;

        free(facts->owned);
        facts->owned = next;
    }
    *facts = (eet_facts){0};
}

/* ---- rules between facts ------------------------------------------------ */

static const char *stack_fault(const eet_stack_facts *s) {
    const int32_t tokens[] = {s->tok_pad, s->tok_bos, s->tok_eos,  s->tok_unk,
                              s->tok_cls, s->tok_sep, s->tok_mask, s->start};

    for (int i = 0; i < ROWS; i++) {
        const char *field = (const char *)s + rows[i].offset;
        double value = rows[i].low;

        if (rows[i].kind == INTEGER) {
            value = *(const int32_t *)(const void *)field;
        } else if (rows[i].kind == REAL) {
            value = *(const double *)(const void *)field;
        }
        if (!(value >= rows[i].low && value <= rows[i].high)) {
            return rows[i].key;
        }
    }
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        if (tokens[i] >= s->vocab_size) {
            return "tok: an id is not below vocab.size";
        }
    }
    if (s->act < 0 || s->act >= ACTS) {
        return "act";
    }
    if (s->vocab_size > s->vocab_rows) {
        return "vocab.size is above vocab.rows";
    }
    if (s->pos_table != (s->pos_rows > 0)) {
        return "pos.rows and pos.kind contradict each other";
    }
    if (s->type_default >= s->types && s->type_default != -1) {
        return "type_default is not below types";
    }
    if (s->pos_skip_pad && s->tok_pad < 0) {
        return "pos.skip_pad without tok.pad";
    }
    return s->cross != (s->cross_dim > 0) ? "cross and cross_dim contradict each other" : NULL;
}

static bool head_name_is_good(const char *name) {
    const size_t length = strlen(name);

    return length > 0 && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static const char *head_fault(const eet_facts *facts, int32_t index) {
    const eet_head_facts *head = &facts->head[index];

    if (!head_name_is_good(head->name)) {
        return "its name is not [a-z][a-z0-9_]*";
    }
    if (head->stack < 0 || head->stack >= EET_STACKS || !facts->stack[head->stack].present) {
        return "its stack is not in the file";
    }
    if (head->take <= 0 || head->take >= TAKES || head->act < 0 || head->act >= ACTS) {
        return "its take or act is unknown";
    }
    for (int32_t i = 0; i < index; i++) {
        if (strcmp(facts->head[i].name, head->name) == 0) {
            return "its name is taken";
        }
    }
    return NULL;
}

eet_status eet_facts_check(const eet_facts *facts, eet_error *err) {
    if (!facts->stack[EET_ENC].present && !facts->stack[EET_DEC].present) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "no facts of an encoder or a decoder");
    }
    for (int s = 0; s < EET_STACKS; s++) {
        const char *fault = facts->stack[s].present ? stack_fault(&facts->stack[s]) : NULL;

        if (fault != NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "facts of \"%s\" are out of bounds: %s",
                            stack_names[s], fault);
        }
    }
    for (int32_t i = 0; i < facts->heads; i++) {
        const char *fault = head_fault(facts, i);

        if (fault != NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "head %d: %s", (int)i, fault);
        }
    }
    return EET_OK;
}
