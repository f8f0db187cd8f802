/* facts_decode.c - reads facts from META by the table. */
#include <stdlib.h>
#include <string.h>

#include "format/facts_table.h"

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

static eet_status decode_number(const reader *r, const char *name, const eet_fact_row *rule,
                                void *field) {
    eet_kv entry;
    int64_t integer = 0;
    double real = 0;

    if (!find(r, name, &entry)) {
        return corrupt(r, name, "is missing");
    }
    if (rule->kind == EET_FACT_IS_INTEGER) {
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

static eet_status decode_row(const reader *r, int stack, const eet_fact_row *rule,
                             eet_stack_facts *facts) {
    static const char *const position_kinds[] = {"none", "table"};
    int32_t acts = 0;
    const char *const *act_names = eet_fact_act_names(&acts);
    eet_fact_key k;
    const char *name = eet_fact_stack_key(&k, stack, rule->key);
    void *field = (char *)facts + rule->offset;
    int32_t index = 0;
    eet_status status = EET_OK;

    switch (rule->kind) {
    case EET_FACT_IS_INTEGER:
    case EET_FACT_IS_REAL:
        return decode_number(r, name, rule, field);
    case EET_FACT_IS_BOOL:
        return decode_bool(r, name, field);
    case EET_FACT_IS_ACT:
        return decode_choice(r, name, act_names, acts, field);
    case EET_FACT_IS_POSITIONS:
        status = decode_choice(r, name, position_kinds, 2, &index);
        *(bool *)field = index == 1;
        return status;
    }
    return EET_E_INTERNAL;
}

static eet_status decode_stack(const reader *r, int stack, eet_stack_facts *facts) {
    eet_fact_key k;
    eet_kv entry;

    *facts = eet_stack_facts_default();
    if (!eet_kv_find(r->meta, eet_fact_stack_key(&k, stack, "layers"), &entry)) {
        return EET_OK;
    }
    facts->present = true;
    int count = 0;
    const eet_fact_row *rows = eet_fact_rows(&count);

    for (int i = 0; i < count; i++) {
        if (stack == EET_DEC || !rows[i].dec_only) {
            const eet_status status = decode_row(r, stack, &rows[i], facts);

            if (status != EET_OK) {
                return status;
            }
        }
    }
    return EET_OK;
}

/* The labels of a head: their pointers, and behind those their text. */
typedef struct labels_block {
    void *next;
    const char *label[];
} labels_block;

static eet_status decode_labels(const reader *r, const eet_kv *entry, eet_head_facts *head,
                                void **owned) {
    const uint32_t count = eet_kv_length(entry);
    const size_t pointers = ((size_t)count + 1) * sizeof(const char *);
    uint32_t bytes = 0;

    if (entry->type != EET_KV_STRING_ARRAY || count > INT32_MAX) {
        return corrupt(r, "labels", "is not an array of strings");
    }
    labels_block *block = malloc(sizeof *block + pointers + entry->value_bytes + count);

    if (block == NULL) {
        return eet_fail(r->err, EET_E_MEMORY, EET_NOWHERE, "no memory for labels");
    }
    char *text = (char *)block + sizeof *block + pointers;

    for (uint32_t i = 0; i < count; i++) {
        const char *from = eet_kv_string_item(entry, i, &bytes);

        block->label[i] = text;
        memcpy(text, from, bytes);
        text[bytes] = '\0';
        text += bytes + 1;
    }
    head->labels = block->label;
    head->label_count = (int32_t)count;
    block->next = *owned;
    *owned = block;
    return EET_OK;
}

static eet_status decode_head(const reader *r, int32_t index, eet_head_facts *head, void **owned) {
    eet_fact_key k;
    eet_kv entry;
    const char *text = NULL;
    uint32_t bytes = 0;
    int32_t acts = 0;
    int32_t takes = 0;
    const char *const *act_names = eet_fact_act_names(&acts);
    const char *const *take_names = eet_fact_take_names(&takes);
    eet_status status = EET_OK;

    if (!find(r, eet_fact_head_key(&k, index, "name"), &entry) ||
        !eet_kv_string(&entry, &text, &bytes) || bytes >= EET_HEAD_NAME) {
        return corrupt(r, k.text, "is not a short string");
    }
    memcpy(head->name, text, bytes);
    status = decode_choice(r, eet_fact_head_key(&k, index, "stack"), eet_fact_stack_names(),
                           EET_STACKS, &head->stack);
    if (status == EET_OK) {
        status =
            decode_choice(r, eet_fact_head_key(&k, index, "take"), take_names, takes, &head->take);
    }
    if (status == EET_OK) {
        status = decode_choice(r, eet_fact_head_key(&k, index, "act"), act_names, acts, &head->act);
    }
    if (status == EET_OK) {
        status = decode_bool(r, eet_fact_head_key(&k, index, "normalize"), &head->normalize);
    }
    if (status == EET_OK && find(r, eet_fact_head_key(&k, index, "skip_pad"), &entry)) {
        status = decode_bool(r, k.text, &head->skip_pad);
    }
    if (status == EET_OK && find(r, eet_fact_head_key(&k, index, "labels"), &entry)) {
        status = decode_labels(r, &entry, head, owned);
    }
    return status;
}

static eet_status decode_all(const reader *r, eet_facts *facts) {
    eet_kv entry;
    eet_fact_key k;
    const char *text = NULL;
    uint32_t bytes = 0;
    eet_status status = EET_OK;

    if (find(r, "arch.family", &entry) && eet_kv_string(&entry, &text, &bytes)) {
        memcpy(facts->family, text,
               bytes < sizeof facts->family ? bytes : sizeof facts->family - 1);
    }
    for (int s = 0; status == EET_OK && s < EET_STACKS; s++) {
        status = decode_stack(r, s, &facts->stack[s]);
    }
    while (status == EET_OK &&
           eet_kv_find(r->meta, eet_fact_head_key(&k, facts->heads, "name"), &entry)) {
        if (facts->heads == EET_MAX_HEADS) {
            return eet_fail(r->err, EET_E_LIMIT, r->base, "more than %d heads", EET_MAX_HEADS);
        }
        eet_head_facts head = {0};

        status = decode_head(r, facts->heads, &head, &facts->owned);
        facts->head[facts->heads++] = head;
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
        labels_block *block = facts->owned;

        facts->owned = block->next;
        free(block);
    }
    *facts = (eet_facts){0};
}
