/* expect.c - which tensors a model with given facts consists of. */
#include "format/facts.h"
#include "format/slots.h"

typedef struct walk {
    eet_expected_visit visit;
    void *context;
    eet_group group;
    int32_t layer;
    eet_status status;
} walk;

static void give(walk *w, eet_expected expected) {
    if (w->status == EET_OK) {
        expected.layer = w->layer;
        w->status = w->visit(w->context, &expected);
    }
}

/* A weight and the bias that it may have; cols 0: a vector (a norm's weight). */
static void give_pair(walk *w, int slot, int64_t rows, int64_t cols) {
    give(w, (eet_expected){.role = eet_role(w->group, slot, false),
                           .rank = cols > 0 ? 2 : 1,
                           .shape = {rows, cols},
                           .required = true});
    give(w, (eet_expected){.role = eet_role(w->group, slot, true), .rank = 1, .shape = {rows, 0}});
}

static void give_table(walk *w, int slot, int64_t rows, int64_t cols) {
    if (rows > 0) {
        give(w, (eet_expected){.role = eet_role(w->group, slot, false),
                               .rank = 2,
                               .shape = {rows, cols},
                               .required = true});
    }
}

static void give_embeddings(walk *w, const eet_stack_facts *s) {
    w->layer = -1;
    give_table(w, EET_SLOT_EMB_TOK, s->vocab_rows, s->emb_dim);
    if (s->emb_dim != s->hidden) {
        give_pair(w, EET_SLOT_EMB_PROJ_IN, s->hidden, s->emb_dim);
    }
    give_table(w, EET_SLOT_EMB_POS, s->pos_rows, s->hidden);
    give_table(w, EET_SLOT_EMB_TYPE, s->types, s->hidden);
    if (s->emb_norm) {
        give_pair(w, EET_SLOT_EMB_NORM, s->hidden, 0);
    }
}

static void give_layer(walk *w, const eet_stack_facts *s) {
    const int64_t inner = (int64_t)s->heads * s->head_dim;

    give_pair(w, EET_SLOT_ATTN_NORM, s->hidden, 0);
    give_pair(w, EET_SLOT_ATTN_QKV, 3 * inner, s->hidden);
    give_pair(w, EET_SLOT_ATTN_OUT, s->hidden, inner);
    if (s->cross) {
        give_pair(w, EET_SLOT_CROSS_NORM, s->hidden, 0);
        give_pair(w, EET_SLOT_CROSS_Q, inner, s->hidden);
        give_pair(w, EET_SLOT_CROSS_KV, 2 * inner, s->cross_dim);
        give_pair(w, EET_SLOT_CROSS_OUT, s->hidden, inner);
    }
    give_pair(w, EET_SLOT_FFN_NORM, s->hidden, 0);
    give_pair(w, EET_SLOT_FFN_FC1, s->ffn, s->hidden);
    give_pair(w, EET_SLOT_FFN_FC2, s->hidden, s->ffn);
}

static void give_stack(walk *w, const eet_stack_facts *s) {
    give_embeddings(w, s);
    for (int32_t i = 0; i < s->layers && w->status == EET_OK; i++) {
        w->layer = i;
        give_layer(w, s);
    }
    w->layer = -1;
    if (s->final_norm) {
        give_pair(w, EET_SLOT_NORM, s->hidden, 0);
    }
}

/* A head's parts are all optional, and their widths are the file's own. */
static void give_head(walk *w, const eet_head_facts *head) {
    const struct {
        int slot, rank;
    } parts[] = {{EET_SLOT_HEAD_DENSE, 2}, {EET_SLOT_HEAD_NORM, 1}, {EET_SLOT_HEAD_OUT, 2}};

    for (int i = 0; i < 3; i++) {
        give(w, (eet_expected){.role = eet_role(w->group, parts[i].slot, false),
                               .head = head->name,
                               .rank = parts[i].rank,
                               .shape = {-1, -1}});
        give(w, (eet_expected){.role = eet_role(w->group, parts[i].slot, true),
                               .head = head->name,
                               .rank = 1,
                               .shape = {-1, 0}});
    }
}

eet_status eet_facts_expect(const eet_facts *facts, eet_expected_visit visit, void *context) {
    static const eet_group groups[EET_STACKS] = {EET_GROUP_ENC, EET_GROUP_DEC};
    walk w = {.visit = visit, .context = context, .status = EET_OK};

    for (int s = 0; s < EET_STACKS; s++) {
        w.group = groups[s];
        if (facts->stack[s].present) {
            give_stack(&w, &facts->stack[s]);
        }
    }
    w.group = EET_GROUP_HEAD;
    for (int32_t i = 0; i < facts->heads; i++) {
        w.layer = i;
        give_head(&w, &facts->head[i]);
    }
    return w.status;
}
