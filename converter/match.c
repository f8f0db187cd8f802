/* match.c - finds the rule of every tensor, the architecture, and its heads. */
#include "converter/match.h"

#include <stdlib.h>
#include <string.h>

#include "converter/match_internal.h"

bool eet_matching_has(const eet_matching *m, const eet_rule *rule) {
    const eet_spot *spot = &rule->spot;

    if (spot->group != EET_GROUP_HEAD) {
        return true;
    }
    return (m->heads & UINT32_C(1) << spot->head) != 0 &&
           (spot->slot != EET_SLOT_HEAD_DENSE || !m->config->head[spot->head].bare);
}

int eet_matching_stack(const eet_matching *m, const eet_rule *rule) {
    if (rule->spot.group == EET_GROUP_HEAD) {
        return m->family->heads[rule->spot.head].stack;
    }
    return rule->spot.group == EET_GROUP_ENC ? EET_ENC : EET_DEC;
}

static bool is_named(const eet_head_named *named, const char *text, size_t bytes) {
    return named->text != NULL && named->bytes == bytes && memcmp(named->text, text, bytes) == 0;
}

/* As eet_pattern_match; a rule of a head that the checkpoint names is of that head alone. */
static int32_t match_rule(const eet_matching *m, const eet_rule *rule, const char *prefix,
                          const char *name) {
    const char *before = rule->plain ? "" : prefix;
    const int32_t layer = eet_pattern_match(rule->pattern, before, name);
    size_t bytes = 0;
    const char *text = layer >= -1 ? eet_pattern_named(rule->pattern, before, name, &bytes) : NULL;

    return text == NULL || is_named(&m->named[rule->spot.head], text, bytes) ? layer : -2;
}

/* Gives a name to the first head that has none; whoever has it already keeps it. */
static eet_status name_head(eet_matching *m, const char *text, size_t bytes) {
    const eet_head_row *heads = m->family->heads;
    eet_shown shown;

    for (int32_t h = 0; heads[h].name != NULL; h++) {
        if (heads[h].named && m->named[h].text == NULL) {
            m->named[h] = (eet_head_named){text, bytes};
            return EET_OK;
        }
        if (heads[h].named && is_named(&m->named[h], text, bytes)) {
            return EET_OK;
        }
    }
    return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "it has too many heads of its own names; \"%s\" is one too many",
                    eet_show(&shown, text, bytes));
}

/* The names that the checkpoint gives to heads. */
static eet_status name_heads(eet_matching *m) {
    eet_status status = EET_OK;

    for (const eet_rule *r = m->family->rules; r->pattern != NULL; r++) {
        const char *prefix = r->plain ? "" : m->prefix;

        for (int32_t i = 0; strchr(r->pattern, '?') != NULL && status == EET_OK && i < m->count;
             i++) {
            const char *name = m->names[i].text;
            size_t bytes = 0;

            if (eet_pattern_match(r->pattern, prefix, name) >= -1) {
                const char *text = eet_pattern_named(r->pattern, prefix, name, &bytes);

                status = name_head(m, text, bytes);
            }
        }
    }
    return status;
}

static eet_hit find_rule(const eet_matching *m, const char *prefix, const char *name) {
    const eet_rule *rules = m->family->rules;

    for (int32_t r = 0; rules[r].pattern != NULL; r++) {
        const int32_t layer = match_rule(m, &rules[r], prefix, name);

        if (layer >= -1 && eet_matching_has(m, &rules[r])) {
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

/* Does the file hold a tensor of a head, whatever else the tensor may be? */
static bool has_tensors_of(const eet_matching *m, int32_t head) {
    for (const eet_rule *r = m->family->rules; r->pattern != NULL; r++) {
        if (r->spot.group != EET_GROUP_HEAD || r->spot.head != head) {
            continue;
        }
        for (int32_t i = 0; i < m->count; i++) {
            if (match_rule(m, r, m->prefix, m->names[i].text) >= -1) {
                return true;
            }
        }
    }
    return false;
}

/* Bits of those heads in `mask` of which the file holds a tensor. */
static uint32_t heads_here(const eet_matching *m, uint32_t mask) {
    uint32_t here = 0;

    for (int32_t h = 0; m->family->heads[h].name != NULL; h++) {
        const uint32_t bit = UINT32_C(1) << h;

        here |= (mask & bit) != 0 && has_tensors_of(m, h) ? bit : 0;
    }
    return here;
}

static bool has_sign(const eet_matching *m, const eet_class *class) {
    for (int32_t i = 0; class->sign != NULL && i < m->count; i++) {
        if (strcmp(m->names[i].text, class->sign) == 0) {
            return heads_here(m, class->without) == 0;
        }
    }
    return false;
}

/* Where the configuration names no architecture, the heads in the file do. */
static const eet_class *choose_class(const eet_matching *m) {
    if (m->config->class != NULL) {
        return m->config->class;
    }
    for (const eet_class *c = m->family->classes; c->name != NULL; c++) {
        if (has_sign(m, c)) {
            return c;
        }
    }
    return m->family->classes;
}

/* Where only some layers are kept, and the file has more: they are numbered anew, and the rest
 * is left out. */
static void keep_layers(const eet_matching *m, int stack) {
    const eet_kept_layers *kept = &m->config->kept[stack];
    int32_t last = -1;

    for (int32_t i = 0; i < m->count; i++) {
        const bool is_here = m->hit[i].rule >= 0 &&
                             eet_matching_stack(m, &m->family->rules[m->hit[i].rule]) == stack;

        last = is_here && m->hit[i].layer > last ? m->hit[i].layer : last;
    }
    for (int32_t i = 0; last >= kept->count && i < m->count; i++) {
        eet_hit *hit = &m->hit[i];
        int32_t number = 0;

        if (hit->rule < 0 || hit->layer < 0 ||
            eet_matching_stack(m, &m->family->rules[hit->rule]) != stack) {
            continue;
        }
        while (number < kept->count && kept->layer[number] != hit->layer) {
            number++;
        }
        *hit = number < kept->count ? (eet_hit){hit->rule, number} : (eet_hit){EET_IS_BUFFER, -1};
    }
}

static void drop_final_norm(const eet_matching *m, int stack) {
    for (int32_t i = 0; i < m->count; i++) {
        const eet_rule *rule = m->hit[i].rule >= 0 ? &m->family->rules[m->hit[i].rule] : NULL;

        if (rule != NULL && rule->spot.group != EET_GROUP_HEAD &&
            rule->spot.slot == EET_SLOT_NORM && eet_matching_stack(m, rule) == stack) {
            m->hit[i].rule = EET_IS_BUFFER;
        }
    }
}

static bool is_here(const eet_matching *m, const eet_trait *trait) {
    for (int32_t i = 0; i < m->count; i++) {
        const eet_rule *rule = m->hit[i].rule >= 0 ? &m->family->rules[m->hit[i].rule] : NULL;

        if (rule != NULL && rule->spot.group == trait->spot.group &&
            rule->spot.slot == trait->spot.slot &&
            (trait->pattern == NULL || strcmp(trait->pattern, rule->pattern) == 0)) {
            return true;
        }
    }
    return false;
}

/* Facts that the tensors tell. */
static void find_traits(const eet_matching *m) {
    for (const eet_trait *t = m->family->traits; t != NULL && t->spot.slot != 0; t++) {
        const int stack = t->spot.group == EET_GROUP_ENC ? EET_ENC : EET_DEC;
        char *facts = (char *)&m->plan->facts.stack[stack];

        if (is_here(m, t)) {
            *(bool *)(void *)(facts + t->fact) = !t->is_false;
        }
    }
}

/* Says what a tensor that goes nowhere is, where that is known. */
static eet_status check_refused(const eet_matching *m) {
    const eet_refused *row = m->family->refused;

    for (; row != NULL && row->pattern != NULL; row++) {
        for (int32_t i = 0; i < m->count; i++) {
            eet_shown shown;

            if (m->hit[i].rule == EET_NOT_USED &&
                eet_pattern_match(row->pattern, m->prefix, m->names[i].text) >= -1) {
                return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                                "%s (tensor \"%s\") is not supported", row->why,
                                eet_show(&shown, m->names[i].text, strlen(m->names[i].text)));
            }
        }
    }
    return EET_OK;
}

static eet_status find_rules(eet_matching *m) {
    const char *prefix = "";

    m->heads = UINT32_MAX;
    eet_status status = choose_prefix(m, &prefix);

    m->prefix = prefix;
    if (status == EET_OK) {
        status = name_heads(m);
    }
    if (status != EET_OK) {
        return status;
    }
    m->plan->class = choose_class(m);
    m->heads = m->plan->class->must | heads_here(m, m->plan->class->may);
    for (int32_t i = 0; i < m->count; i++) {
        m->hit[i] = find_rule(m, prefix, m->names[i].text);
        if (m->hit[i].rule == EET_NOT_USED && is_buffer(m, prefix, i)) {
            m->hit[i].rule = EET_IS_BUFFER;
        }
    }
    for (int stack = 0; stack < EET_STACKS; stack++) {
        if (m->config->no_final_norm[stack]) {
            drop_final_norm(m, stack);
        }
        if (m->config->kept[stack].count > 0) {
            keep_layers(m, stack);
        }
    }
    find_traits(m);
    status = check_refused(m);
    return status == EET_OK ? check_wrappers(m) : status;
}

/* What the configuration makes of a head: not all of it is a head of ours. */
static eet_status check_choice(const eet_matching *m, const eet_head_row *row,
                               const eet_head_choice *choice) {
    if (choice->refused != NULL) {
        return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the head \"%s\" of %s is not supported: \"%s\" is \"%s\" in the "
                        "configuration",
                        row->name, m->plan->class->name, choice->refused->key, choice->value.text);
    }
    if (choice->bare && choice->has_act && choice->act != EET_ACT_LINEAR) {
        return eet_fail(m->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the head \"%s\" of %s is not supported: the configuration gives it an "
                        "activation and no projection",
                        row->name, m->plan->class->name);
    }
    if (row->labels && m->config->labels.fault[0] != '\0') {
        return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE, "%s of the configuration",
                        m->config->labels.fault);
    }
    return EET_OK;
}

/* A name of the checkpoint's own in the letters that a head's name may have. */
static void set_name(char out[EET_HEAD_NAME], const eet_head_named *named) {
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t used = 0;

    for (; used < named->bytes && used + 1 < EET_HEAD_NAME; used++) {
        const char *at = strchr(upper, named->text[used]);

        out[used] = named->text[used];
        if (at != NULL) {
            out[used] = lower[at - upper];
        }
        if (strchr(lower, out[used]) == NULL) {
            out[used] = '_';
        }
        if (used == 0 && (out[0] < 'a' || out[0] > 'z')) {
            out[0] = 'x';
        }
    }
    out[used] = '\0';
}

static eet_status add_head(eet_matching *m, int32_t index) {
    eet_facts *facts = &m->plan->facts;
    const eet_head_row *row = &m->family->heads[index];
    const eet_head_choice *choice = &m->config->head[index];
    eet_head_facts *head = &facts->head[facts->heads];

    if (m->named[index].text != NULL) {
        set_name(head->name, &m->named[index]);
    } else {
        (void)strncpy(head->name, row->name, sizeof head->name - 1);
    }
    head->stack = row->stack;
    head->take = choice->take != 0 ? choice->take : row->take;
    head->act = row->act == EET_ACT_OF_STACK ? facts->stack[row->stack].act : row->act;
    if (choice->has_act) {
        head->act = choice->act;
    }
    head->skip_pad = row->skip_pad && facts->stack[row->stack].tok_pad >= 0;
    m->head_number[index] = facts->heads++;
    return check_choice(m, row, choice);
}

static eet_status choose_heads(eet_matching *m) {
    eet_status status = EET_OK;

    for (int32_t h = 0; h < EET_FAMILY_HEADS; h++) {
        m->head_number[h] = -1;
    }
    for (int32_t h = 0; m->family->heads[h].name != NULL && status == EET_OK; h++) {
        status = (m->heads & UINT32_C(1) << h) != 0 ? add_head(m, h) : EET_OK;
    }
    return status;
}

/* Names for the outputs of heads that are classes. */
static eet_status add_labels(eet_matching *m) {
    const eet_labels *labels = &m->config->labels;

    for (int32_t h = 0; m->family->heads[h].name != NULL; h++) {
        eet_plan *plan = m->plan;

        if (m->head_number[h] < 0 || !m->family->heads[h].labels || labels->count == 0) {
            continue;
        }
        if (plan->label == NULL) {
            plan->label = eet_labels_list(labels, labels->count);
        }
        if (plan->label == NULL) {
            return eet_fail(m->err, EET_E_MEMORY, EET_NOWHERE, "no memory for labels");
        }
        plan->facts.head[m->head_number[h]].labels = plan->label;
        plan->facts.head[m->head_number[h]].label_count = labels->count;
    }
    return EET_OK;
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
        status = choose_heads(&m);
    }
    if (status == EET_OK) {
        status = eet_match_shapes(&m);
    }
    if (status == EET_OK) {
        status = eet_match_places(&m);
    }
    if (status == EET_OK) {
        status = add_labels(&m);
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
    free(plan->label);
    *plan = (eet_plan){0};
}

const char *eet_place_named(eet_place_name *buffer, const eet_place *place) {
    buffer->text[0] = '\0';
    (void)eet_slot_name(place->role, place->layer, place->head, buffer->text, sizeof buffer->text);
    return buffer->text;
}
