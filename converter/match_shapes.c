/* match_shapes.c - shapes are equations: solves their symbols and checks every tensor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/match_internal.h"

enum { ORIGIN_BYTES = 128 };

/* The value of a symbol and who says so. */
typedef struct solved {
    int64_t value; /* 0: not bound yet */
    char origin[ORIGIN_BYTES];
} solved;

typedef struct solving {
    eet_matching *m;
    solved symbol[EET_STACKS][EET_SYMBOLS];
} solving;

static void init_stack(solving *s, int stack) {
    const eet_stack_facts *facts = &s->m->plan->facts.stack[stack];

    for (int i = 1; i < EET_SYMBOLS; i++) {
        const uint32_t fact = eet_symbol_fact((eet_symbol)i);
        solved *symbol = &s->symbol[stack][i];

        if (fact != EET_NO_FACT) {
            const char *key = eet_config_key_of(s->m->family, stack, fact);

            symbol->value = *(const int32_t *)(const void *)((const char *)facts + fact);
            (void)snprintf(symbol->origin, ORIGIN_BYTES, "\"%s\" of the configuration",
                           key != NULL ? key : "nothing");
        } else {
            symbol->value = s->m->config->symbol[i];
            (void)snprintf(symbol->origin, ORIGIN_BYTES, "the configuration");
        }
    }
    s->symbol[stack][EET_SYM_INNER].value = (int64_t)facts->heads * facts->head_dim;
    (void)snprintf(s->symbol[stack][EET_SYM_INNER].origin, ORIGIN_BYTES, "the configuration");
    s->symbol[stack][EET_SYM_ONE].value = 1;
    (void)snprintf(s->symbol[stack][EET_SYM_ONE].origin, ORIGIN_BYTES, "the architecture");
    s->symbol[stack][EET_SYM_PAIR].value = 2;
    (void)snprintf(s->symbol[stack][EET_SYM_PAIR].origin, ORIGIN_BYTES, "the architecture");
}

static int rule_rank(const eet_rule *rule) {
    int rank = 0;

    while (rank < EET_RULE_RANK && rule->shape[rank].symbol != EET_SYM_NONE) {
        rank++;
    }
    return rank;
}

/* "(768, 3072)" */
static const char *shape_text(char *buffer, size_t room, const uint64_t *dims, int rank) {
    size_t at = 0;

    for (int i = 0; i < rank && at + 24 < room; i++) {
        at += (size_t)snprintf(buffer + at, room - at, "%s%llu", i == 0 ? "(" : ", ",
                               (unsigned long long)dims[i]);
    }
    (void)snprintf(buffer + at, room - at, rank == 0 ? "()" : ")");
    return buffer;
}

static void expected_shape(const solving *s, const eet_rule *rule, uint64_t dims[EET_RULE_RANK]) {
    const int stack = eet_matching_stack(s->m, rule);

    for (int i = 0; i < rule_rank(rule); i++) {
        const eet_dim *dim = &rule->shape[i];

        dims[i] = (uint64_t)s->symbol[stack][dim->symbol].value * (dim->times > 1 ? dim->times : 1);
        dims[i] += i == 0 ? eet_rule_drop(rule, &s->m->plan->facts) : 0;
    }
}

/* A tensor binds what nothing has bound before it. */
static void bind(solving *s, const eet_rule *rule, const eet_source_tensor *t) {
    const int stack = eet_matching_stack(s->m, rule);

    for (int i = 0; i < rule_rank(rule) && t->rank == rule_rank(rule); i++) {
        const uint64_t times = rule->shape[i].times > 1 ? rule->shape[i].times : 1;
        const uint64_t drop = i == 0 ? eet_rule_drop(rule, &s->m->plan->facts) : 0;
        solved *symbol = &s->symbol[stack][rule->shape[i].symbol];
        eet_shown shown;

        if (symbol->value == 0 && rule->shape[i].symbol != EET_SYM_ANY && t->shape[i] > drop &&
            (t->shape[i] - drop) % times == 0 && t->shape[i] <= INT32_MAX) {
            symbol->value = (int64_t)((t->shape[i] - drop) / times);
            (void)snprintf(symbol->origin, ORIGIN_BYTES, "\"%s\"",
                           eet_show(&shown, t->name, t->name_bytes));
        }
    }
}

static eet_status check_shape(const solving *s, const eet_rule *rule, const eet_source_tensor *t) {
    const int rank = rule_rank(rule);
    uint64_t dims[EET_RULE_RANK] = {0};
    char found[24 * EET_SOURCE_MAX_RANK + 8];
    char expected[24 * EET_RULE_RANK + 8];
    eet_shown shown;
    int wrong = 0;

    expected_shape(s, rule, dims);
    while (wrong < rank && t->rank == rank &&
           (t->shape[wrong] == dims[wrong] || rule->shape[wrong].symbol == EET_SYM_ANY)) {
        wrong++;
    }
    if (wrong == rank && t->rank == rank) {
        return EET_OK;
    }
    const solved *symbol = &s->symbol[eet_matching_stack(s->m, rule)][rule->shape[wrong].symbol];

    return eet_fail(s->m->err, EET_E_CORRUPT, EET_NOWHERE,
                    "tensor \"%s\" is %s, expected %s: %s is %lld by %s",
                    eet_show(&shown, t->name, t->name_bytes),
                    shape_text(found, sizeof found, t->shape, t->rank),
                    shape_text(expected, sizeof expected, dims, rank),
                    eet_symbol_name((eet_symbol)rule->shape[wrong].symbol),
                    (long long)symbol->value, symbol->origin);
}

static eet_status check_dtype(const solving *s, const eet_source_tensor *t) {
    eet_shown shown;

    if (t->refusal != NULL) {
        return eet_fail(s->m->err, EET_E_UNSUPPORTED, EET_NOWHERE, "tensor \"%s\": %s",
                        eet_show(&shown, t->name, t->name_bytes), t->refusal);
    }
    if (t->dtype > EET_SRC_BF16) {
        return eet_fail(s->m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "tensor \"%s\" is %s, expected float64, float32, float16 or bfloat16",
                        eet_show(&shown, t->name, t->name_bytes), eet_source_dtype_name(t->dtype));
    }
    return EET_OK;
}

/* What neither the configuration nor a tensor says. */
static void fill_in(const eet_matching *m, int stack) {
    eet_stack_facts *facts = &m->plan->facts.stack[stack];

    if (facts->vocab_size == 0) {
        facts->vocab_size = facts->vocab_rows;
    }
    if (facts->pos_rows == 0 && !m->config->learned[stack]) {
        facts->pos_rows = m->config->sines[stack];
    }
}

/* Facts that the configuration left open take what the tensors say. */
static void write_back(solving *s, int stack) {
    char *facts = (char *)&s->m->plan->facts.stack[stack];

    for (int i = 1; i < EET_SYMBOLS; i++) {
        const uint32_t fact = eet_symbol_fact((eet_symbol)i);

        if (fact != EET_NO_FACT && s->symbol[stack][i].value <= INT32_MAX) {
            *(int32_t *)(void *)(facts + fact) = (int32_t)s->symbol[stack][i].value;
        }
    }
    fill_in(s->m, stack);
}

/* An output that has fewer words than the input. */
static eet_status check_output_words(const eet_matching *m) {
    const eet_config *config = m->config;
    const uint16_t words = eet_role(EET_GROUP_DEC, EET_SLOT_EMB_TOK, false);

    for (int32_t i = 0; i < m->count && config->output_words_key != NULL; i++) {
        const eet_spot *spot = m->hit[i].rule >= 0 ? &m->family->rules[m->hit[i].rule].spot : NULL;
        const eet_source_tensor *t = eet_source_at(m->source, i);

        if (spot != NULL && eet_role((eet_group)spot->group, spot->slot, spot->bias) == words &&
            t->rank > 0 && t->shape[0] > (uint64_t)config->output_words) {
            return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                            "an output of fewer words than the input (\"%s\" is %d, and the "
                            "vocabulary has %llu) is not supported",
                            config->output_words_key, (int)config->output_words,
                            (unsigned long long)t->shape[0]);
        }
    }
    return EET_OK;
}

static eet_status solve(solving *s) {
    eet_matching *m = s->m;
    eet_status status = EET_OK;

    for (int stack = 0; stack < EET_STACKS; stack++) {
        if (m->plan->facts.stack[stack].present) {
            init_stack(s, stack);
        }
    }
    for (int32_t i = 0; status == EET_OK && i < m->count; i++) {
        const eet_rule *rule = m->hit[i].rule >= 0 ? &m->family->rules[m->hit[i].rule] : NULL;
        const eet_source_tensor *t = eet_source_at(m->source, i);

        if (rule == NULL) {
            continue;
        }
        status = check_dtype(s, t);
        if (status == EET_OK) {
            bind(s, rule, t);
            status = check_shape(s, rule, t);
        }
    }
    for (int stack = 0; status == EET_OK && stack < EET_STACKS; stack++) {
        if (m->plan->facts.stack[stack].present) {
            write_back(s, stack);
        }
    }
    return status;
}

eet_status eet_match_shapes(eet_matching *m) {
    solving *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return eet_fail(m->err, EET_E_MEMORY, EET_NOWHERE, "no memory for matching");
    }
    s->m = m;
    eet_status status = check_output_words(m);

    if (status == EET_OK) {
        status = solve(s);
    }
    free(s);
    return status == EET_OK ? eet_facts_check(&m->plan->facts, m->err) : status;
}
