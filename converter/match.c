/* match.c - finds the rule of every tensor, the architecture, and its heads. */
#include "converter/match.h"

#include <stdlib.h>
#include <string.h>

#include "converter/match_internal.h"

static eet_hit find_rule(const eet_matching *m, const char *prefix, const char *name) {
    const eet_rule *rules = m->family->rules;

    for (int32_t r = 0; rules[r].pattern != NULL; r++) {
        const int32_t layer =
            eet_pattern_match(rules[r].pattern, rules[r].plain ? "" : prefix, name);

        if (layer >= -1) {
            return (eet_hit){r, layer};
        }
    }
    return (eet_hit){EET_NOT_USED, -1};
}

static bool is_buffer(const eet_matching *m, const char *prefix, int32_t tensor) {
    const int32_t rank = eet_source_at(m->source, tensor)->rank;

    for (const eet_buffer *b = m->family->buffers; b->pattern != NULL; b++) {
        if ((b->rank == 0 || b->rank == rank) &&
            eet_pattern_match(b->pattern, b->plain ? "" : prefix, m->names[tensor].text) >= -1) {
            return true;
        }
    }
    return false;
}

/* The first tensor of the base model whose name begins with `prefix`, or -1. */
static int32_t first_with_prefix(const eet_matching *m, const char *prefix) {
    for (int32_t i = 0; i < m->count; i++) {
        const eet_hit hit = find_rule(m, prefix, m->names[i].text);

        if (hit.rule >= 0 && !m->family->rules[hit.rule].plain) {
            return i;
        }
    }
    return -1;
}

static eet_status mixed(const eet_matching *m, int32_t a, int32_t b, const char *what) {
    eet_shown one;
    eet_shown other;
    const eet_source_tensor *s = eet_source_at(m->source, a);
    const eet_source_tensor *t = eet_source_at(m->source, b);

    return eet_fail(m->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                    "some tensors are named with %s and some without: \"%s\" and \"%s\"", what,
                    eet_show(&one, s->name, s->name_bytes),
                    eet_show(&other, t->name, t->name_bytes));
}

static eet_status choose_prefix(const eet_matching *m, const char **prefix) {
    int32_t first = -1;
    eet_shown shown;

    for (int p = 0; m->family->prefixes[p] != NULL; p++) {
        const int32_t found = first_with_prefix(m, m->family->prefixes[p]);

        if (found >= 0 && first >= 0) {
            return mixed(m, found, first, m->family->prefixes[p]);
        }
        if (found >= 0) {
            first = found;
            *prefix = m->family->prefixes[p];
        }
    }
    if (first >= 0) {
        return EET_OK;
    }
    if (m->count == 0) {
        return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE, "it holds no tensors");
    }
    const eet_source_tensor *t = eet_source_at(m->source, 0);

    return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE,
                    "none of its %d tensors is one of %s; the first is \"%s\"", (int)m->count,
                    m->family->title, eet_show(&shown, t->name, t->name_bytes));
}

/* All names that are used went through the same wrappers. */
static eet_status check_wrappers(const eet_matching *m) {
    int32_t first = -1;

    for (int32_t i = 0; i < m->count; i++) {
        if (m->hit[i].rule < 0) {
            continue;
        }
        first = first < 0 ? i : first;
        if (m->names[i].cut != m->names[first].cut) {
            return mixed(m, i, first, "a wrapper's prefix");
        }
    }
    return EET_OK;
}

static eet_status find_rules(eet_matching *m) {
    const char *prefix = "";
    const eet_status status = choose_prefix(m, &prefix);

    for (int32_t i = 0; status == EET_OK && i < m->count; i++) {
        m->prefix = prefix;
        m->hit[i] = find_rule(m, prefix, m->names[i].text);
        if (m->hit[i].rule == EET_NOT_USED && is_buffer(m, prefix, i)) {
            m->hit[i].rule = EET_IS_BUFFER;
        }
    }
    return status == EET_OK ? check_wrappers(m) : status;
}

/* Where the configuration names no architecture, the heads in the file do. */
static const eet_class *choose_class(const eet_matching *m) {
    if (m->config->class != NULL) {
        return m->config->class;
    }
    for (const eet_class *c = m->family->classes; c->name != NULL; c++) {
        for (int32_t i = 0; c->sign != NULL && i < m->count; i++) {
            if (strcmp(m->names[i].text, c->sign) == 0) {
                return c;
            }
        }
    }
    return m->family->classes;
}

static bool has_tensors_of(const eet_matching *m, int32_t head) {
    for (int32_t i = 0; i < m->count; i++) {
        const eet_rule *rule = m->hit[i].rule >= 0 ? &m->family->rules[m->hit[i].rule] : NULL;

        if (rule != NULL && rule->spot.group == EET_GROUP_HEAD && rule->spot.head == head) {
            return true;
        }
    }
    return false;
}

static void choose_heads(eet_matching *m) {
    eet_facts *facts = &m->plan->facts;

    m->plan->class = choose_class(m);
    for (int32_t h = 0; h < EET_FAMILY_HEADS; h++) {
        m->head_number[h] = -1;
    }
    for (int32_t h = 0; m->family->heads[h].name != NULL; h++) {
        const eet_head_row *row = &m->family->heads[h];
        const uint32_t bit = UINT32_C(1) << h;

        if ((m->plan->class->must & bit) == 0 &&
            ((m->plan->class->may & bit) == 0 || !has_tensors_of(m, h))) {
            continue;
        }
        eet_head_facts *head = &facts->head[facts->heads];

        (void)strncpy(head->name, row->name, sizeof head->name - 1);
        head->stack = row->stack;
        head->take = row->take;
        head->act = row->act == EET_ACT_OF_STACK ? facts->stack[row->stack].act : row->act;
        m->head_number[h] = facts->heads++;
    }
}

bool eet_matching_is_headless(const eet_matching *m, const eet_rule *rule) {
    return rule->spot.group == EET_GROUP_HEAD && m->head_number[rule->spot.head] < 0;
}

eet_status eet_match(const eet_source *source, const eet_config *config, const char *allow_unused,
                     eet_plan *out, eet_error *err) {
    eet_plan plan = {.facts = config->facts};
    eet_matching m = {.source = source,
                      .config = config,
                      .family = config->family,
                      .allow_unused = allow_unused,
                      .count = eet_source_count(source),
                      .plan = &plan,
                      .err = err};
    eet_status status = eet_names_make(source, &m.names, err);

    m.hit = calloc((size_t)m.count + 1, sizeof *m.hit);
    if (status == EET_OK && m.hit == NULL) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for matching");
    }
    if (status == EET_OK) {
        status = find_rules(&m);
    }
    if (status == EET_OK) {
        choose_heads(&m);
        status = eet_match_shapes(&m);
    }
    if (status == EET_OK) {
        status = eet_match_places(&m);
    }
    eet_names_free(m.names, m.count);
    free(m.hit);
    if (status != EET_OK) {
        eet_plan_free(&plan);
        return status;
    }
    for (int32_t p = 0; p < plan.places; p++) { /* head names point into the facts that moved */
        if (plan.place[p].role >> 8 == EET_GROUP_HEAD) {
            plan.place[p].head = out->facts.head[plan.place[p].layer].name;
        }
    }
    *out = plan;
    return EET_OK;
}

void eet_plan_free(eet_plan *plan) {
    free(plan->place);
    free(plan->twin);
    free(plan->left);
    *plan = (eet_plan){0};
}

const char *eet_place_named(eet_place_name *buffer, const eet_place *place) {
    buffer->text[0] = '\0';
    (void)eet_slot_name(place->role, place->layer, place->head, buffer->text, sizeof buffer->text);
    return buffer->text;
}
