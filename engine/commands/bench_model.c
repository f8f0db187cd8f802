/* bench_model.c - looks at an open model: what a pass reads and multiplies, tensor by tensor. */
#include <string.h>

#include "engine/commands/bench.h"

static eet_status integer_of(const eet_bench_model *m, const char *key, int32_t *out,
                             eet_error *err) {
    eet_fact fact = {.size = sizeof fact};
    char full[64] = {0};

    (void)strcat(strcpy(full, m->encoder ? "enc." : "dec."), key);
    const eet_status status = eet_model_fact(m->model, full, &fact, err);

    *out = status == EET_OK ? (int32_t)fact.integer : 0;
    return status;
}

/* The head whose values score the next token: an LM head, as wide as the vocabulary. */
static eet_status find_head(eet_bench_model *m, int32_t heads, const char **name, eet_error *err) {
    m->head = EET_HIDDEN;
    m->width = m->hidden;
    *name = NULL;
    for (int32_t i = 0; i < heads && !m->encoder; ++i) {
        eet_head_info info = {.size = sizeof info};
        const eet_status status = eet_model_head(m->model, i, &info, err);

        if (status != EET_OK) {
            return status;
        }
        if (info.take == EET_TAKE_EVERY && info.width == m->vocab && *name == NULL) {
            m->head = i;
            m->width = info.width;
            *name = info.name;
        }
    }
    return EET_OK;
}

/* Is it a part of the head that scores? head.<name>.<part> */
static bool is_of_head(const char *tensor, const char *head) {
    const size_t length = head != NULL ? strlen(head) : 0;

    return length > 0 && strncmp(tensor, "head.", 5) == 0 &&
           strncmp(tensor + 5, head, length) == 0 && tensor[5 + length] == '.';
}

/* Every tensor is read once a pass but tables of embeddings (a row a token), and heads that
 * do not score. */
static void count_tensor(eet_bench_model *m, const eet_tensor_info *t, const char *head) {
    const bool matrix = t->array.rank == 2;
    const double count = (double)t->array.shape[0] * (matrix ? (double)t->array.shape[1] : 1.0);
    const int32_t dtype = matrix && m->wanted != 0 ? m->wanted : t->array.dtype;
    const double bytes = count * (dtype == EET_F32 ? 4.0 : 2.0);
    const char *part = t->name + 4; /* behind "dec." */

    if (strncmp(t->name, "head.", 5) == 0) {
        m->weight_bytes += is_of_head(t->name, head) ? bytes : 0.0;
        m->score_flops += is_of_head(t->name, head) && matrix ? 2.0 * count : 0.0;
        return;
    }
    if (strcmp(part, "emb.tok") == 0 || strcmp(part, "emb.pos") == 0 ||
        (strcmp(part, "emb.type") == 0 && m->encoder)) {
        m->row_bytes += bytes / (double)t->array.shape[0];
        return;
    }
    if (strcmp(part, "emb.type") == 0) { /* GPT-2's: only for tokens with a type */
        return;
    }
    m->weight_bytes += bytes;
    m->token_flops += matrix ? 2.0 * count : 0.0;
    m->dtype = matrix ? dtype : m->dtype;
}

static eet_status count_tensors(eet_bench_model *m, int32_t tensors, const char *head,
                                eet_error *err) {
    for (int32_t i = 0; i < tensors; ++i) {
        eet_tensor_info info = {.size = sizeof info, .array = {.size = sizeof info.array}};
        const eet_status status = eet_model_tensor(m->model, i, &info, err);

        if (status != EET_OK) {
            return status;
        }
        count_tensor(m, &info, head);
    }
    return EET_OK;
}

static eet_status read_facts(eet_bench_model *m, eet_error *err) {
    const struct {
        const char *key;
        int32_t *out;
    } wanted[] = {{"vocab.size", &m->vocab}, {"hidden", &m->hidden}, {"layers", &m->layers}};
    int32_t heads = 0;
    int32_t head_dim = 0;
    eet_status status = integer_of(m, "heads", &heads, err);

    if (status == EET_OK) {
        status = integer_of(m, "head_dim", &head_dim, err);
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && status == EET_OK; ++i) {
        status = integer_of(m, wanted[i].key, wanted[i].out, err);
    }
    m->inner = heads * head_dim;
    return status;
}

eet_status eet_bench_look(eet_bench_model *m, eet_error *err) {
    eet_model_info info = {.size = sizeof info};
    const char *head = NULL;
    eet_status status = eet_model_describe(m->model, &info, err);

    if (status == EET_OK && info.has_encoder != 0 && info.has_decoder != 0) {
        status = eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                          "%s has an encoder and a decoder; eet-bench measures models of one stack",
                          m->name);
    }
    if (status != EET_OK) {
        return status;
    }
    m->encoder = info.has_decoder == 0;
    m->positions = info.max_positions;
    m->parameters = (double)info.parameters;
    status = read_facts(m, err);
    if (status == EET_OK) {
        status = find_head(m, info.heads, &head, err);
    }
    return status == EET_OK ? count_tensors(m, info.tensors, head, err) : status;
}

void eet_bench_model_close(eet_bench_model *m) {
    eet_model_close(m->model);
    m->model = NULL;
    eet_bench_image_free(&m->image);
}

/* Of one row's queries over its keys: 2 products of inner numbers for each pair. A causal
 * prompt's token sees those before it and itself. */
static double pairs(int32_t kind, double context, double tokens) {
    if (kind == EET_BENCH_ENCODE) {
        return tokens * tokens;
    }
    return tokens * context + tokens * (tokens + 1.0) / 2.0;
}

void eet_bench_cost(const eet_bench_model *m, int32_t kind, int32_t batch, int32_t context,
                    int32_t tokens, double *bytes, double *flops) {
    const double per_layer = (double)m->layers * m->inner;
    const double all = (double)batch * tokens;
    const double kept = kind == EET_BENCH_ENCODE ? 0.0 : (double)batch * (context + tokens);
    const double scored = kind == EET_BENCH_ENCODE ? 0.0 : (double)batch;

    const double number = m->device == EET_HOST || m->dtype == EET_F32 ? 4.0 : 2.0;

    /* keys and values: f32, on a device as the weights, each read once a call */
    *bytes = m->weight_bytes + all * m->row_bytes + kept * 2.0 * per_layer * number;
    *flops = all * m->token_flops + scored * m->score_flops +
             (double)batch * 4.0 * per_layer * pairs(kind, context, tokens);
}

int32_t eet_bench_token(const eet_bench_model *m, int64_t index) {
    const uint64_t x = (uint64_t)(index + 1) * UINT64_C(0x9E3779B97F4A7C15);

    return (int32_t)((x >> 33) % (uint64_t)m->vocab);
}
