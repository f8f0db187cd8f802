/* facts.c - the table of facts: one line a fact, from which decoding
 * (facts_decode.c), encoding and bounds follow. */
#include "format/facts_table.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(eet_stack_facts, field)
enum { MAX_VOCAB = 16777216, MAX_WIDTH = 65536 };

static const eet_fact_row rows[] = {
    {"layers", EET_FACT_IS_INTEGER, AT(layers), 1, 1024, false},
    {"heads", EET_FACT_IS_INTEGER, AT(heads), 1, 1024, false},
    {"head_dim", EET_FACT_IS_INTEGER, AT(head_dim), 1, 1024, false},
    {"hidden", EET_FACT_IS_INTEGER, AT(hidden), 1, MAX_WIDTH, false},
    {"ffn", EET_FACT_IS_INTEGER, AT(ffn), 1, 1048576, false},
    {"act", EET_FACT_IS_ACT, AT(act), 0, 0, false},
    {"pre_norm", EET_FACT_IS_BOOL, AT(pre_norm), 0, 1, false},
    {"final_norm", EET_FACT_IS_BOOL, AT(final_norm), 0, 1, false},
    {"emb_norm", EET_FACT_IS_BOOL, AT(emb_norm), 0, 1, false},
    {"norm_eps", EET_FACT_IS_REAL, AT(norm_eps), 0, 1, false},
    {"attn_scale", EET_FACT_IS_REAL, AT(attn_scale), 0, 1e6, false},
    {"inv_layer_scale", EET_FACT_IS_BOOL, AT(inv_layer_scale), 0, 1, false},
    {"pos.kind", EET_FACT_IS_POSITIONS, AT(pos_table), 0, 1, false},
    {"pos.rows", EET_FACT_IS_INTEGER, AT(pos_rows), 0, MAX_VOCAB, false},
    {"pos.skip_pad", EET_FACT_IS_BOOL, AT(pos_skip_pad), 0, 1, false},
    {"emb.dim", EET_FACT_IS_INTEGER, AT(emb_dim), 1, MAX_WIDTH, false},
    {"emb.scale", EET_FACT_IS_REAL, AT(emb_scale), -1e6, 1e6, false},
    {"types", EET_FACT_IS_INTEGER, AT(types), 0, MAX_VOCAB, false},
    {"type_default", EET_FACT_IS_INTEGER, AT(type_default), -1, MAX_VOCAB, false},
    {"vocab.size", EET_FACT_IS_INTEGER, AT(vocab_size), 1, MAX_VOCAB, false},
    {"vocab.rows", EET_FACT_IS_INTEGER, AT(vocab_rows), 1, MAX_VOCAB, false},
    {"tok.pad", EET_FACT_IS_INTEGER, AT(tok_pad), -1, MAX_VOCAB, false},
    {"tok.bos", EET_FACT_IS_INTEGER, AT(tok_bos), -1, MAX_VOCAB, false},
    {"tok.eos", EET_FACT_IS_INTEGER, AT(tok_eos), -1, MAX_VOCAB, false},
    {"tok.unk", EET_FACT_IS_INTEGER, AT(tok_unk), -1, MAX_VOCAB, false},
    {"tok.cls", EET_FACT_IS_INTEGER, AT(tok_cls), -1, MAX_VOCAB, false},
    {"tok.sep", EET_FACT_IS_INTEGER, AT(tok_sep), -1, MAX_VOCAB, false},
    {"tok.mask", EET_FACT_IS_INTEGER, AT(tok_mask), -1, MAX_VOCAB, false},
    {"start", EET_FACT_IS_INTEGER, AT(start), -1, MAX_VOCAB, true},
    {"cross", EET_FACT_IS_BOOL, AT(cross), 0, 1, true},
    {"cross_dim", EET_FACT_IS_INTEGER, AT(cross_dim), 0, MAX_WIDTH, true},
};
#undef AT

enum { ROWS = sizeof rows / sizeof rows[0] };

static const char *const stack_names[EET_STACKS] = {"enc", "dec"};
static const char *const act_names[] = {
#define X(symbol, number, name) [number] = name,
    EET_ACT_MAP(X)
#undef X
};
static const char *const take_names[] = {[0] = "",
#define X(symbol, number, name) [number] = name,
                                         EET_TAKE_MAP(X)
#undef X
};
enum { ACTS = sizeof act_names / sizeof act_names[0] };
enum { TAKES = sizeof take_names / sizeof take_names[0] };

const eet_fact_row *eet_fact_rows(int *count) {
    *count = ROWS;
    return rows;
}

const char *const *eet_fact_stack_names(void) {
    return stack_names;
}

const char *const *eet_fact_act_names(int32_t *count) {
    *count = ACTS;
    return act_names;
}

const char *const *eet_fact_take_names(int32_t *count) {
    *count = TAKES;
    return take_names;
}

const char *eet_fact_stack_key(eet_fact_key *buffer, int stack, const char *name) {
    (void)snprintf(buffer->text, sizeof buffer->text, "%s.%s", stack_names[stack], name);
    return buffer->text;
}

const char *eet_fact_head_key(eet_fact_key *buffer, int32_t index, const char *name) {
    (void)snprintf(buffer->text, sizeof buffer->text, "head.%d.%s", (int)index, name);
    return buffer->text;
}

eet_stack_facts eet_stack_facts_default(void) {
    return (eet_stack_facts){
        .act = EET_ACT_LINEAR, .attn_scale = 1.0, .type_default = -1, EET_STACK_FACTS_PLAIN};
}

/* ---- encoding ----------------------------------------------------------- */

static void encode_row(const eet_stack_facts *facts, const eet_fact_row *r, const char *name,
                       eet_kv_builder *b) {
    const char *field = (const char *)facts + r->offset;

    switch (r->kind) {
    case EET_FACT_IS_INTEGER:
        eet_kv_set_i64(b, name, EET_KV_REQUIRED, *(const int32_t *)(const void *)field);
        break;
    case EET_FACT_IS_REAL:
        eet_kv_set_f64(b, name, EET_KV_REQUIRED, *(const double *)(const void *)field);
        break;
    case EET_FACT_IS_BOOL:
        eet_kv_set_bool(b, name, EET_KV_REQUIRED, *(const bool *)(const void *)field);
        break;
    case EET_FACT_IS_ACT:
        eet_kv_set_string(b, name, EET_KV_REQUIRED,
                          act_names[*(const int32_t *)(const void *)field]);
        break;
    case EET_FACT_IS_POSITIONS:
        eet_kv_set_string(b, name, EET_KV_REQUIRED,
                          *(const bool *)(const void *)field ? "table" : "none");
        break;
    }
}

static void encode_head(const eet_head_facts *head, int32_t index, eet_kv_builder *b) {
    eet_fact_key k;

    eet_kv_set_string(b, eet_fact_head_key(&k, index, "name"), EET_KV_REQUIRED, head->name);
    eet_kv_set_string(b, eet_fact_head_key(&k, index, "stack"), EET_KV_REQUIRED,
                      stack_names[head->stack]);
    eet_kv_set_string(b, eet_fact_head_key(&k, index, "take"), EET_KV_REQUIRED,
                      take_names[head->take]);
    eet_kv_set_string(b, eet_fact_head_key(&k, index, "act"), EET_KV_REQUIRED,
                      act_names[head->act]);
    eet_kv_set_bool(b, eet_fact_head_key(&k, index, "normalize"), EET_KV_REQUIRED, head->normalize);
    if (head->skip_pad) {
        eet_kv_set_bool(b, eet_fact_head_key(&k, index, "skip_pad"), EET_KV_REQUIRED, true);
    }
    if (head->label_count > 0) {
        eet_kv_set_strings(b, eet_fact_head_key(&k, index, "labels"), 0, head->labels,
                           (uint32_t)head->label_count);
    }
}

void eet_facts_encode(const eet_facts *facts, eet_kv_builder *builder) {
    eet_fact_key k;

    eet_kv_set_string(builder, "arch.family", 0, facts->family);
    for (int s = 0; s < EET_STACKS; s++) {
        for (int i = 0; facts->stack[s].present && i < ROWS; i++) {
            if (s == EET_DEC || !rows[i].dec_only) {
                encode_row(&facts->stack[s], &rows[i], eet_fact_stack_key(&k, s, rows[i].key),
                           builder);
            }
        }
    }
    for (int32_t i = 0; i < facts->heads; i++) {
        encode_head(&facts->head[i], i, builder);
    }
}

/* ---- rules between facts ------------------------------------------------ */

static const char *stack_fault(const eet_stack_facts *s) {
    const int32_t tokens[] = {s->tok_pad, s->tok_bos, s->tok_eos,  s->tok_unk,
                              s->tok_cls, s->tok_sep, s->tok_mask, s->start};

    for (int i = 0; i < ROWS; i++) {
        const char *field = (const char *)s + rows[i].offset;
        double value = rows[i].low;

        if (rows[i].kind == EET_FACT_IS_INTEGER) {
            value = *(const int32_t *)(const void *)field;
        } else if (rows[i].kind == EET_FACT_IS_REAL) {
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
    if (head->skip_pad && (head->take != EET_TAKE_LAST || facts->stack[head->stack].tok_pad < 0)) {
        return "skip_pad is for the last token of a model with tok.pad";
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
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "facts of \"%s\" are out of bounds: %s", stack_names[s], fault);
        }
    }
    if (facts->stack[EET_ENC].present && facts->stack[EET_DEC].cross &&
        facts->stack[EET_DEC].cross_dim != facts->stack[EET_ENC].hidden) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the decoder looks at states of %d values; the encoder gives %d",
                        (int)facts->stack[EET_DEC].cross_dim, (int)facts->stack[EET_ENC].hidden);
    }
    for (int32_t i = 0; i < facts->heads; i++) {
        const char *fault = head_fault(facts, i);

        if (fault != NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "head %d: %s", (int)i, fault);
        }
    }
    return EET_OK;
}
