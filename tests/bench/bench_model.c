/* bench_model.c - writes a GPT-2 of 124 million random weights as an .eet file:
 *   bench_model FILE f32|f16|bf16
 * The numbers are scaled as in a trained model, so that nothing overflows or vanishes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/facts.h"
#include "format/half.h"
#include "format/slots.h"
#include "format/writer.h"

enum { LAYERS = 12, HIDDEN = 768, FFN = 3072, VOCAB = 50257, POSITIONS = 1024, MAX_TENSORS = 256 };

typedef struct maker {
    eet_writer *writer;
    eet_error *err;
    int32_t dtype, count, token_table;
    uint64_t elements[MAX_TENSORS];
    int32_t dtypes[MAX_TENSORS];
    float middle[MAX_TENSORS], spread[MAX_TENSORS];
    bool alias[MAX_TENSORS];
} maker;

static eet_facts facts_of_gpt2(void) {
    eet_facts facts = {.family = "gpt2", .heads = 1};
    eet_stack_facts *s = &facts.stack[EET_DEC];

    *s = eet_stack_facts_default();
    s->present = s->pre_norm = s->final_norm = s->pos_table = true;
    s->layers = LAYERS;
    s->heads = 12;
    s->head_dim = 64;
    s->hidden = s->emb_dim = HIDDEN;
    s->ffn = FFN;
    s->act = EET_ACT_GELU_TANH;
    s->norm_eps = 1e-5;
    s->attn_scale = 0.125;
    s->pos_rows = POSITIONS;
    s->vocab_size = s->vocab_rows = s->types = VOCAB;
    facts.head[0] = (eet_head_facts){.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY};
    return facts;
}

/* Norms around 1, embeddings and weights around 0 with GPT-2's spread, biases small. */
static void choose_numbers(maker *m, const eet_expected *e) {
    const int32_t slot = e->role & 0xFE; /* a bias follows its weight's even number */
    const bool is_head = e->role >> 8 == EET_GROUP_HEAD;
    const bool is_norm = !is_head && (slot == EET_SLOT_NORM || slot == EET_SLOT_ATTN_NORM ||
                                      slot == EET_SLOT_FFN_NORM);

    m->middle[m->count] = is_norm && (e->role & 1) == 0 ? 1.0F : 0.0F;
    m->spread[m->count] = is_norm ? 0.1F : 0.04F;
}

static eet_status declare(void *context, const eet_expected *e) {
    maker *m = context;
    const bool is_head = e->role >> 8 == EET_GROUP_HEAD;
    const bool is_token = e->role == eet_role(EET_GROUP_DEC, EET_SLOT_EMB_TOK, false);
    const bool is_type = e->role == eet_role(EET_GROUP_DEC, EET_SLOT_EMB_TYPE, false);
    const bool is_out = e->role == eet_role(EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, false);

    if (is_head && !is_out) {
        return EET_OK; /* the head is the token table alone */
    }
    eet_writer_tensor t = {
        .role = e->role,
        .layer = (int16_t)e->layer,
        .dtype = m->dtype,
        .rank = e->rank,
        .alias_of = is_type || is_out ? m->token_table : -1,
    };

    m->elements[m->count] = 1;
    for (int32_t i = 0; i < e->rank; ++i) {
        const uint64_t head = i == 0 ? VOCAB : HIDDEN; /* whose widths are its own */

        t.dims[i] = e->shape[i] < 0 ? head : (uint64_t)e->shape[i];
        m->elements[m->count] *= t.dims[i];
    }
    choose_numbers(m, e);
    m->dtypes[m->count] = t.dtype;
    m->alias[m->count] = t.alias_of >= 0;
    m->token_table = is_token ? m->count : m->token_table;
    m->count += 1;
    int32_t number = 0;

    return eet_writer_tensor_add(m->writer, &t, &number, m->err);
}

static eet_status write_tensor(maker *m, int32_t number, uint64_t *state, eet_error *err) {
    enum { CHUNK = 1 << 16 };
    static float room[CHUNK];
    eet_status status = EET_OK;

    for (uint64_t done = 0; done < m->elements[number] && status == EET_OK; done += CHUNK) {
        const uint64_t left = m->elements[number] - done;
        const uint64_t count = left < CHUNK ? left : CHUNK;

        for (uint64_t i = 0; i < count; ++i) {
            *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const float x = (float)(*state >> 40) * 0x1p-23F - 1.0F;

            eet_float_put(room, m->dtypes[number], (int64_t)i,
                          m->middle[number] + m->spread[number] * x);
        }
        status = eet_writer_append(m->writer, number, room,
                                   count * (uint64_t)eet_float_bytes(m->dtypes[number]), err);
    }
    return status;
}

static eet_status write_model(maker *m, const char *path, eet_error *err) {
    const eet_writer_options options = {.force = true, .no_sync = true};
    const eet_facts facts = facts_of_gpt2();
    uint64_t state = 1;

    m->err = err;
    eet_status status = eet_writer_create(path, &options, &m->writer, err);

    if (status == EET_OK) {
        status = eet_writer_facts(m->writer, &facts, err);
    }
    if (status == EET_OK) {
        status = eet_facts_expect(&facts, declare, m);
    }
    if (status == EET_OK) {
        status = eet_writer_plan(m->writer, err);
    }
    if (status == EET_OK) {
        status = eet_writer_begin(m->writer, err);
    }
    for (int32_t i = 0; i < m->count && status == EET_OK; ++i) {
        status = m->alias[i] ? EET_OK : write_tensor(m, i, &state, err);
    }
    return status == EET_OK ? eet_writer_commit(m->writer, err) : status;
}

int main(int argc, char **argv) {
    maker m = {.token_table = -1};
    eet_error err = {0};

    m.dtype = argc != 3                      ? EET_DTYPE_NONE
              : strcmp(argv[2], "f32") == 0  ? EET_F32
              : strcmp(argv[2], "f16") == 0  ? EET_F16
              : strcmp(argv[2], "bf16") == 0 ? EET_BF16
                                             : EET_DTYPE_NONE;
    if (m.dtype == EET_DTYPE_NONE) {
        (void)fprintf(stderr, "usage: bench_model FILE f32|f16|bf16\n");
        return 2;
    }
    const eet_status status = write_model(&m, argv[1], &err);

    if (status != EET_OK) {
        (void)fprintf(stderr, "bench_model: status %d: %s\n", (int)status, err.text);
    }
    eet_writer_free(m.writer);
    return status == EET_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
