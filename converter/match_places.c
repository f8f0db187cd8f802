/* match_places.c - makes the places of a model and says which tensors fill them. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/match_internal.h"
#include "format/utf8.h"

enum { NAMES_SHOWN = 4, LIST_BYTES = 320, MAX_SINES = 1 << 26 };

typedef struct filling {
    eet_matching *m;
    int32_t room;
    int32_t last; /* place found last: tensors come in nearly the same order */
} filling;

/* ---- places ------------------------------------------------------------- */

static eet_status add_place(void *context, const eet_expected *expected) {
    filling *f = context;
    eet_plan *plan = f->m->plan;

    if (plan->places == f->room) {
        const int32_t room = f->room == 0 ? 256 : f->room * 2;
        eet_place *grown = realloc(plan->place, (size_t)room * sizeof *grown);

        if (grown == NULL) {
            return EET_E_MEMORY;
        }
        plan->place = grown;
        f->room = room;
    }
    plan->place[plan->places++] =
        (eet_place){.role = expected->role,
                    .layer = expected->layer,
                    .rank = expected->rank,
                    .dims = {(uint64_t)expected->shape[0], (uint64_t)expected->shape[1]},
                    .head = expected->head,
                    .tensor = {-1, -1, -1},
                    .share = -1,
                    .sines = -1};
    return EET_OK;
}

/* The place of a spot at a layer, or -1. */
static int32_t find_place(filling *f, const eet_spot *spot, int32_t layer) {
    const eet_plan *plan = f->m->plan;
    const uint16_t role = eet_role((eet_group)spot->group, spot->slot, spot->bias);

    if (spot->group == EET_GROUP_HEAD) {
        layer = f->m->head_number[spot->head];
    }
    for (int32_t i = 0; i < plan->places; i++) {
        const int32_t at = (f->last + i) % plan->places;

        if (plan->place[at].role == role && plan->place[at].layer == layer) {
            f->last = at;
            return at;
        }
    }
    return -1;
}

/* ---- filling ------------------------------------------------------------ */

static eet_status add_twin(filling *f, eet_twin twin) {
    eet_plan *plan = f->m->plan;
    eet_twin *grown = realloc(plan->twin, (size_t)(plan->twins + 1) * sizeof *grown);

    if (grown == NULL) {
        return EET_E_MEMORY;
    }
    plan->twin = grown;
    plan->twin[plan->twins++] = twin;
    return EET_OK;
}

static const char *name_of(const eet_matching *m, int32_t tensor, eet_shown *shown) {
    const eet_source_tensor *t = eet_source_at(m->source, tensor);

    return eet_show(shown, t->name, t->name_bytes);
}

static eet_status same_part(const eet_matching *m, int32_t a, int32_t b) {
    eet_shown one;
    eet_shown other;

    return eet_fail(m->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                    "two tensors are the same part of the model: \"%s\" and \"%s\"",
                    name_of(m, a, &one), name_of(m, b, &other));
}

static int32_t first_tensor(const eet_place *place) {
    int32_t k = 0;

    while (place->tensor[k] < 0) {
        k++;
    }
    return place->tensor[k];
}

/* Tensor `i` goes to its place; a second one for it must be its equal. */
static eet_status fill_place(filling *f, int32_t i, const eet_rule *rule, eet_place *place) {
    const eet_matching *m = f->m;
    int32_t *tensor = &place->tensor[rule->part];
    const int32_t other = *tensor;
    const uint64_t rows = eet_source_at(m->source, i)->shape[rule->transpose ? 1 : 0];

    if (place->rank == 2 && place->dims[0] == UINT64_MAX) { /* a head's widths are its tensors' */
        place->dims[0] = rows;
        place->dims[1] = eet_source_at(m->source, i)->shape[rule->transpose ? 0 : 1];
    } else if (place->dims[0] == UINT64_MAX) { /* a bias may come as one row of a matrix */
        const eet_source_tensor *t = eet_source_at(m->source, i);

        place->dims[0] = t->shape[t->rank - 1];
    }
    if (place->rule != NULL && place->rule->parts != rule->parts) {
        return same_part(m, first_tensor(place), i);
    }
    if (other < 0) {
        place->rule = place->rule == NULL || rule->part == 0 ? rule : place->rule;
        *tensor = i;
        return EET_OK;
    }
    if (m->hit[other].rule == m->hit[i].rule && m->names[i].renamed == m->names[other].renamed) {
        return same_part(m, other, i);
    }
    return add_twin(f, (eet_twin){.a = other, .b = i, .tied = -1, .must = true});
}

/* All places of a tensor. */
static eet_status fill_from(filling *f, int32_t i, const eet_rule *rule) {
    eet_matching *m = f->m;
    eet_status status = EET_OK;

    do {
        const int32_t at = find_place(f, &rule->spot, m->hit[i].layer);

        if (at < 0) {
            m->hit[i].rule = EET_NOT_USED;
            return EET_OK;
        }
        status = fill_place(f, i, rule, &m->plan->place[at]);
        rule++;
    } while (status == EET_OK && rule->also);
    return status;
}

static eet_status fill_places(filling *f) {
    const eet_matching *m = f->m;
    eet_status status = EET_OK;

    for (int32_t i = 0; status == EET_OK && i < m->count; i++) {
        if (m->hit[i].rule >= 0) {
            status = fill_from(f, i, &m->family->rules[m->hit[i].rule]);
        }
    }
    return status;
}

/* Tables of positions that are computed, where no tensor is one. */
static eet_status fill_sines(filling *f) {
    const eet_matching *m = f->m;
    eet_plan *plan = m->plan;

    for (int stack = 0; stack < EET_STACKS; stack++) {
        const uint8_t group = stack == EET_ENC ? EET_GROUP_ENC : EET_GROUP_DEC;
        const eet_spot positions = {.group = group, .slot = EET_SLOT_EMB_POS};
        const eet_spot tokens = {.group = group, .slot = EET_SLOT_EMB_TOK};
        const int32_t at = find_place(f, &positions, -1);

        if (at < 0 || plan->place[at].rule != NULL || m->config->sines[stack] == 0 ||
            m->config->learned[stack]) {
            continue;
        }
        if (plan->place[at].dims[0] * plan->place[at].dims[1] > MAX_SINES) {
            return eet_fail(m->err, EET_E_LIMIT, EET_NOWHERE,
                            "a sinusoidal table of %llu x %llu values; at most %d are made",
                            (unsigned long long)plan->place[at].dims[0],
                            (unsigned long long)plan->place[at].dims[1], MAX_SINES);
        }
        plan->place[at].sines = find_place(f, &tokens, -1);
    }
    return EET_OK;
}

/* ---- shares ------------------------------------------------------------- */

static eet_status share(filling *f, const eet_share *row, int32_t layer) {
    eet_plan *plan = f->m->plan;
    const int32_t at = find_place(f, &row->place, layer);
    const int32_t of = find_place(f, &row->of, layer);

    if (row->when == EET_SHARE_EQUAL && (at < 0 || of < 0 || plan->place[at].rule == NULL)) {
        return EET_OK;
    }
    if (at >= 0 && of < 0 && row->when != EET_SHARE_TIED) {
        return eet_fail(f->m->err, EET_E_CORRUPT, EET_NOWHERE,
                        "the tensors of head \"%s\", which head \"%s\" is built on, are missing",
                        f->m->family->heads[row->of.head].name,
                        f->m->family->heads[row->place.head].name);
    }
    if (at < 0 || of < 0 ||
        (row->when == EET_SHARE_TIED && !f->m->config->tied && plan->place[at].rule == NULL)) {
        return EET_OK;
    }
    eet_place *place = &plan->place[at];

    if (place->rule == NULL) {
        memcpy(place->dims, plan->place[of].dims, sizeof place->dims);
        place->share = of;
        return EET_OK;
    }
    if (place->rule->parts != 0 || plan->place[of].rule == NULL) {
        return EET_OK;
    }
    return add_twin(f, (eet_twin){.a = plan->place[of].tensor[0],
                                  .b = place->tensor[0],
                                  .tied = at,
                                  .must = row->when != EET_SHARE_EQUAL &&
                                          (f->m->config->tied || row->when != EET_SHARE_TIED)});
}

static eet_status share_places(filling *f) {
    const eet_family *family = f->m->family;
    eet_status status = EET_OK;

    for (int32_t s = 0; status == EET_OK && s < family->share_count; s++) {
        const eet_spot *spot = &family->shares[s].place;

        if (spot->group != EET_GROUP_HEAD || f->m->head_number[spot->head] >= 0) {
            status = share(f, &family->shares[s], -1);
        }
    }
    return status;
}

/* ---- complaints --------------------------------------------------------- */

typedef struct list {
    char text[LIST_BYTES];
    size_t used;
    int32_t count;
} list;

static void list_add(list *l, const char *name) {
    eet_shown shown;

    if (l->count++ < NAMES_SHOWN && l->used + 16 < sizeof l->text) {
        const int wrote = snprintf(l->text + l->used, sizeof l->text - l->used, "%s%s",
                                   l->used == 0 ? "" : ", ", eet_show(&shown, name, strlen(name)));

        l->used =
            l->used + (size_t)wrote < sizeof l->text ? l->used + (size_t)wrote : sizeof l->text - 1;
    }
}

/* "(12 in all)" after a list that is cut. */
static const char *list_rest(const list *l, char *buffer, size_t room) {
    buffer[0] = '\0';
    if (l->count > NAMES_SHOWN) {
        (void)snprintf(buffer, room, ", ... (%d in all)", (int)l->count);
    }
    return buffer;
}

/* The name that a rule's tensor would have at a layer. */
static void list_pattern(const eet_matching *m, list *l, const eet_rule *rule, int32_t layer) {
    char name[192];
    const char *prefix = rule->plain ? "" : m->prefix;
    const char *hole = strchr(rule->pattern, '*');

    if (hole == NULL) {
        (void)snprintf(name, sizeof name, "%s%s", prefix, rule->pattern);
    } else {
        (void)snprintf(name, sizeof name, "%s%.*s%d%s", prefix, (int)(hole - rule->pattern),
                       rule->pattern, (int)layer, hole + 1);
    }
    list_add(l, name);
}

static bool rule_is_of(const eet_matching *m, const eet_rule *rule, const eet_place *place) {
    if (eet_role((eet_group)rule->spot.group, rule->spot.slot, rule->spot.bias) != place->role) {
        return false;
    }
    return rule->spot.group != EET_GROUP_HEAD || m->head_number[rule->spot.head] == place->layer;
}

/* Parts of a place that some rule could have filled and none has. */
static void list_missing(const eet_matching *m, const eet_place *place, list *missing) {
    for (const eet_rule *r = m->family->rules; r->pattern != NULL; r++) {
        if (rule_is_of(m, r, place) && eet_matching_has(m, r) && place->tensor[r->part] < 0 &&
            (place->rule != NULL ? place->rule->parts == r->parts : !r->optional)) {
            list_pattern(m, missing, r, place->layer);
        }
    }
}

static eet_status check_missing(const eet_matching *m) {
    list missing = {0};
    char rest[32];

    for (int32_t i = 0; i < m->plan->places; i++) {
        if (m->plan->place[i].share < 0 && m->plan->place[i].sines < 0) {
            list_missing(m, &m->plan->place[i], &missing);
        }
    }
    if (missing.count == 0) {
        return EET_OK;
    }
    return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE, "tensors of %s are missing: %s%s",
                    m->plan->class->name, missing.text, list_rest(&missing, rest, sizeof rest));
}

/* What the output of a head takes comes from the part before it, or from the stack. */
static eet_status check_width(const eet_matching *m, int head, const eet_place *dense,
                              const eet_place *out) {
    const eet_head_row *row = &m->family->heads[head];
    const bool is_there = dense != NULL && (dense->rule != NULL || dense->share >= 0);
    const int hidden = m->plan->facts.stack[row->stack].hidden;
    const uint64_t width = is_there ? dense->dims[0] : (uint64_t)hidden;
    list parts = {0};

    if (out->dims[1] == width) {
        return EET_OK;
    }
    for (const eet_rule *r = m->family->rules; r->pattern != NULL; r++) {
        if (r->spot.group == EET_GROUP_HEAD && r->spot.head == head && !r->spot.bias &&
            r->spot.slot == EET_SLOT_HEAD_DENSE) {
            list_pattern(m, &parts, r, -1);
        }
    }
    return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE,
                    "the output of head \"%s\" takes %llu values, and %s%s %llu%s%s", row->name,
                    (unsigned long long)out->dims[1], is_there ? parts.text : "hidden is",
                    is_there ? " gives" : "", (unsigned long long)width,
                    is_there || parts.count == 0 ? "" : ": there is no ",
                    is_there ? "" : parts.text);
}

static eet_status check_widths(filling *f) {
    const eet_plan *plan = f->m->plan;
    eet_status status = EET_OK;

    for (int h = 0; status == EET_OK && h < EET_FAMILY_HEADS; h++) {
        const eet_spot dense = {EET_GROUP_HEAD, EET_SLOT_HEAD_DENSE, false, (uint8_t)h};
        const eet_spot out = {EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, false, (uint8_t)h};
        const int32_t before = f->m->head_number[h] >= 0 ? find_place(f, &dense, -1) : -1;
        const int32_t at = f->m->head_number[h] >= 0 ? find_place(f, &out, -1) : -1;

        if (at >= 0 && (plan->place[at].rule != NULL || plan->place[at].share >= 0)) {
            status =
                check_width(f->m, h, before >= 0 ? &plan->place[before] : NULL, &plan->place[at]);
        }
    }
    return status;
}

static eet_status complain_left(const eet_matching *m, const list *left, const list *beyond) {
    char rest[32];

    if (left->count == 0) {
        const eet_stack_facts *f = &m->plan->facts.stack[m->plan->facts.stack[EET_DEC].present];

        return eet_fail(m->err, EET_E_CORRUPT, EET_NOWHERE,
                        "the configuration has %d layers, and the file more: %s%s", (int)f->layers,
                        beyond->text, list_rest(beyond, rest, sizeof rest));
    }
    return eet_fail(m->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                    "tensors that %s does not have: %s%s; --allow-unused REGEX leaves them out, "
                    "--arch NAME reads the file as another model",
                    m->plan->class->name, left->text, list_rest(left, rest, sizeof rest));
}

/* Of a layer that a stack has not; else of a part that its layers have not. */
static bool is_beyond(const eet_matching *m, int32_t layer) {
    bool beyond = false;

    for (int s = 0; s < EET_STACKS; s++) {
        const eet_stack_facts *f = &m->plan->facts.stack[s];

        beyond = beyond || (f->present && layer >= f->layers);
    }
    return beyond;
}

static eet_status check_left(const eet_matching *m, const regex_t *allowed) {
    list left = {0};
    list beyond = {0};

    for (int32_t i = 0; i < m->count; i++) {
        const char *name = eet_source_at(m->source, i)->name;

        if (m->hit[i].rule >= 0) {
            continue;
        }
        m->plan->left[m->plan->lefts++] = i;
        if (m->hit[i].rule == EET_IS_BUFFER ||
            (allowed != NULL && regexec(allowed, name, 0, NULL, 0) == 0)) {
            continue;
        }
        list_add(is_beyond(m, m->hit[i].layer) ? &beyond : &left, name);
    }
    return left.count + beyond.count == 0 ? EET_OK : complain_left(m, &left, &beyond);
}

static eet_status check_leftovers(const eet_matching *m) {
    regex_t allowed;

    m->plan->left = calloc((size_t)m->count + 1, sizeof *m->plan->left);
    if (m->plan->left == NULL) {
        return EET_E_MEMORY;
    }
    if (m->allow_unused == NULL) {
        return check_left(m, NULL);
    }
    if (!eet_utf8_valid(m->allow_unused, strlen(m->allow_unused))) {
        return eet_fail(m->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--allow-unused is not UTF-8, as the names of tensors are");
    }
    if (regcomp(&allowed, m->allow_unused, REG_EXTENDED | REG_NOSUB) != 0) {
        return eet_fail(m->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--allow-unused is no extended regular expression");
    }
    const eet_status status = check_left(m, &allowed);

    regfree(&allowed);
    return status;
}

/* Places that nothing fills are not there: biases, parts of heads. */
static eet_status drop_empty(eet_plan *plan) {
    int32_t *now = calloc((size_t)plan->places + 1, sizeof *now);
    int32_t kept = 0;

    if (now == NULL) {
        return EET_E_MEMORY;
    }
    for (int32_t i = 0; i < plan->places; i++) {
        eet_place *place = &plan->place[i];

        now[i] = kept;
        if (place->rule != NULL || place->share >= 0 || place->sines >= 0) {
            plan->place[kept] = *place;
            plan->place[kept].sines = place->sines >= 0 ? now[place->sines] : -1;
            plan->place[kept].share = place->share >= 0 ? now[place->share] : -1;
            kept++;
        }
    }
    for (int32_t t = 0; t < plan->twins; t++) {
        plan->twin[t].tied = plan->twin[t].tied >= 0 ? now[plan->twin[t].tied] : -1;
    }
    plan->places = kept;
    free(now);
    return EET_OK;
}

eet_status eet_match_places(eet_matching *m) {
    filling f = {.m = m};
    eet_status status = eet_facts_expect(&m->plan->facts, add_place, &f);

    if (status == EET_OK) {
        status = fill_places(&f);
    }
    if (status == EET_OK) {
        status = fill_sines(&f);
    }
    if (status == EET_OK) {
        status = share_places(&f);
    }
    if (status == EET_OK) {
        status = check_missing(m);
    }
    if (status == EET_OK) {
        status = check_widths(&f);
    }
    if (status == EET_OK) {
        status = check_leftovers(m);
    }
    if (status == EET_OK) {
        status = drop_empty(m->plan);
    }
    if (status == EET_E_MEMORY) {
        return eet_fail(m->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the places of tensors");
    }
    return status;
}
