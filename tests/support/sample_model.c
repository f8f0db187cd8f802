/* sample_model.c - small models with made-up weights. */
#include "tests/support/sample_model.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "format/slots.h"

static eet_stack_facts small_stack(void) {
    eet_stack_facts s = eet_stack_facts_default();

    s.present = true;
    s.layers = 2;
    s.heads = 2;
    s.head_dim = 8;
    s.hidden = 16;
    s.ffn = 32;
    s.act = EET_ACT_GELU_TANH;
    s.norm_eps = 1e-5;
    s.attn_scale = 1.0 / sqrt(8.0);
    s.pos_table = true;
    s.pos_rows = 32;
    s.emb_dim = 16;
    s.vocab_size = 40;
    s.vocab_rows = 40;
    return s;
}

eet_sample_model eet_sample_decoder(void) {
    eet_sample_model model = {.seed = 1, .dtype = EET_F32, .type_is_token = true};
    eet_stack_facts s = small_stack();

    s.pre_norm = true;
    s.final_norm = true;
    s.types = s.vocab_rows;
    s.tok_bos = 39;
    s.tok_eos = 39;
    strcpy(model.facts.family, "gpt2");
    model.facts.stack[EET_DEC] = s;
    model.facts.heads = 1;
    model.facts.head[0] = (eet_head_facts){.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY};
    model.head[0] = (eet_sample_head){.tied = true};
    return model;
}

eet_sample_model eet_sample_encoder(void) {
    eet_sample_model model = {.seed = 2, .dtype = EET_F32};
    eet_stack_facts s = small_stack();

    s.act = EET_ACT_GELU_ERF;
    s.emb_norm = true;
    s.norm_eps = 1e-12;
    s.types = 2;
    s.type_default = 0;
    s.tok_pad = 0;
    s.tok_cls = 1;
    s.tok_sep = 2;
    strcpy(model.facts.family, "bert");
    model.facts.stack[EET_ENC] = s;
    model.facts.heads = 2;
    model.facts.head[0] = (eet_head_facts){
        .name = "mlm", .stack = EET_ENC, .take = EET_TAKE_EVERY, .act = EET_ACT_GELU_ERF};
    model.head[0] = (eet_sample_head){.dense = 16, .norm = true, .tied = true};
    model.facts.head[1] = (eet_head_facts){
        .name = "pooler", .stack = EET_ENC, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH};
    model.head[1] = (eet_sample_head){.dense = 16};
    return model;
}

eet_sample_model eet_sample_encoder_decoder(void) {
    eet_sample_model model = {.seed = 3, .dtype = EET_F32, .shared = true};
    eet_stack_facts s = small_stack();

    s.act = EET_ACT_RELU;
    s.emb_scale = 4.0;
    s.tok_pad = 1;
    s.tok_eos = 2;
    s.pos_skip_pad = true;
    strcpy(model.facts.family, "fs_nmt");
    model.facts.stack[EET_ENC] = s;
    s.start = 2;
    s.cross = true;
    s.cross_dim = 16;
    model.facts.stack[EET_DEC] = s;
    model.facts.heads = 1;
    model.facts.head[0] = (eet_head_facts){.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY};
    model.head[0] = (eet_sample_head){.tied = true};
    return model;
}

/* splitmix64: a number from a number. */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static bool is_norm(uint16_t role) {
    const int slot = role & 0xFE;

    if (role >> 8 == EET_GROUP_HEAD) {
        return (role & 0xFF) == EET_SLOT_HEAD_NORM;
    }
    return slot == (role & 0xFF) &&
           (slot == EET_SLOT_EMB_NORM || slot == EET_SLOT_NORM || slot == EET_SLOT_ATTN_NORM ||
            slot == EET_SLOT_CROSS_NORM || slot == EET_SLOT_FFN_NORM);
}

static bool is_table(uint16_t role) {
    return role >> 8 != EET_GROUP_HEAD && (role & 0xFF) <= EET_SLOT_EMB_TYPE;
}

static bool is_bias(uint16_t role) {
    const int slot = role & 0xFF;

    if (role >> 8 == EET_GROUP_HEAD) {
        return slot % 2 == 0;
    }
    return slot % 2 == 1 && slot > EET_SLOT_EMB_TYPE;
}

float eet_sample_value(const eet_sample_model *model, uint16_t role, int32_t layer, uint64_t inputs,
                       uint64_t index) {
    const uint64_t place = (uint64_t)role << 16 | (uint16_t)layer;
    const uint64_t bits = mix(mix(model->seed ^ mix(place)) + index);
    const double even = (double)(bits >> 40) / (double)(1 << 23) - 1.0; /* -1..1 */

    if (is_norm(role)) {
        return (float)(1.0 + 0.2 * even);
    }
    if (is_bias(role)) {
        return (float)(0.1 * even);
    }
    return is_table(role) ? (float)even : (float)(even * sqrt(3.0 / (double)inputs));
}

/* ---- from facts to tensors ----------------------------------------------- */

typedef struct maker {
    const eet_sample_model *model;
    eet_writer *writer;
    int32_t token[EET_STACKS]; /* number of emb.tok, -1: not yet */
} maker;

/* The number of the tensor that this place shares, or -1. */
static int32_t shared_with(const maker *m, const eet_expected *e) {
    const int group = e->role >> 8;
    const int slot = e->role & 0xFF;

    if (group == EET_GROUP_HEAD) {
        const int stack = m->model->facts.head[e->layer].stack;

        return slot == EET_SLOT_HEAD_OUT && m->model->head[e->layer].tied ? m->token[stack] : -1;
    }
    if (group == EET_GROUP_DEC && slot == EET_SLOT_EMB_TYPE && m->model->type_is_token) {
        return m->token[EET_DEC];
    }
    return group == EET_GROUP_DEC && slot == EET_SLOT_EMB_TOK && m->model->shared
               ? m->token[EET_ENC]
               : -1;
}

/* The shape of a head's part; false when this head has it not. */
static bool head_shape(const eet_sample_model *model, const eet_expected *e, uint64_t dims[2]) {
    const eet_sample_head *head = &model->head[e->layer];
    const eet_stack_facts *stack = &model->facts.stack[model->facts.head[e->layer].stack];
    const uint64_t width = (uint64_t)(head->dense > 0 ? head->dense : stack->hidden);
    const int slot = e->role & 0xFF;

    if (slot <= EET_SLOT_HEAD_DENSE + 1) {
        dims[0] = (uint64_t)head->dense;
        dims[1] = (uint64_t)stack->hidden;
        return head->dense > 0;
    }
    if (slot <= EET_SLOT_HEAD_NORM + 1) {
        dims[0] = width;
        return head->norm;
    }
    dims[0] = (uint64_t)(head->tied ? stack->vocab_rows : head->out);
    dims[1] = width;
    return head->tied || head->out > 0;
}

/* An LM head after a plain stack has no bias of its own (GPT-2). */
static bool is_left_out(const eet_sample_model *model, const eet_expected *e) {
    if (!is_bias(e->role)) {
        return false;
    }
    return model->no_bias ||
           (e->role >> 8 == EET_GROUP_HEAD && (e->role & 0xFF) == EET_SLOT_HEAD_OUT + 1 &&
            model->head[e->layer].tied && model->head[e->layer].dense == 0);
}

static eet_status declare_one(void *context, const eet_expected *e) {
    maker *m = context;
    eet_writer_tensor t = {.role = e->role,
                           .layer = (int16_t)e->layer,
                           .dtype = m->model->dtype,
                           .rank = e->rank,
                           .alias_of = -1};
    int32_t number = 0;

    for (int i = 0; i < e->rank; i++) {
        t.dims[i] = (uint64_t)e->shape[i];
    }
    if (is_left_out(m->model, e) ||
        (e->role >> 8 == EET_GROUP_HEAD && !head_shape(m->model, e, t.dims))) {
        return EET_OK;
    }
    t.alias_of = shared_with(m, e);
    const eet_status status = eet_writer_tensor_add(m->writer, &t, &number, NULL);

    if ((e->role & 0xFF) == EET_SLOT_EMB_TOK && e->role >> 8 != EET_GROUP_HEAD) {
        m->token[(e->role >> 8) - EET_GROUP_ENC] = t.alias_of >= 0 ? t.alias_of : number;
    }
    return status;
}

void eet_sample_declare(eet_writer *writer, const eet_sample_model *model) {
    maker m = {.model = model, .writer = writer, .token = {-1, -1}};
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_writer_facts(writer, &model->facts, &err) == EET_OK, "%s", err.text);
    ck_assert_int_eq(eet_facts_expect(&model->facts, declare_one, &m), EET_OK);
}

typedef struct streamer {
    const eet_sample_model *model;
    eet_writer *writer;
    uint64_t chunk;
    int32_t number;
    eet_error *err;
} streamer;

static void *sample_bytes(const streamer *s, const eet_expected *e, const uint64_t dims[2],
                          uint64_t *bytes) {
    const uint64_t inputs = e->rank == 2 ? dims[1] : dims[0];
    const uint64_t count = e->rank == 2 ? dims[0] * dims[1] : dims[0];
    const uint64_t width = s->model->dtype == EET_F32 ? 4 : 2;
    uint8_t *data = malloc((size_t)(count * width));

    ck_assert_ptr_nonnull(data);
    for (uint64_t i = 0; i < count; i++) {
        const float value = eet_sample_value(s->model, e->role, e->layer, inputs, i);
        const uint16_t half =
            s->model->dtype == EET_F16 ? eet_f32_to_f16(value) : eet_f32_to_bf16(value);

        memcpy(data + i * width, width == 4 ? (const void *)&value : (const void *)&half,
               (size_t)width);
    }
    *bytes = count * width;
    return data;
}

static eet_status stream_one(void *context, const eet_expected *e) {
    streamer *s = context;
    const maker m = {.model = s->model, .token = {0, 0}};
    uint64_t dims[2] = {(uint64_t)e->shape[0], (uint64_t)e->shape[1]};
    uint64_t bytes = 0;
    eet_status status = EET_OK;

    if (is_left_out(s->model, e) ||
        (e->role >> 8 == EET_GROUP_HEAD && !head_shape(s->model, e, dims))) {
        return EET_OK;
    }
    const int32_t number = s->number++;

    if (shared_with(&m, e) >= 0) {
        return EET_OK;
    }
    uint8_t *data = sample_bytes(s, e, dims, &bytes);

    for (uint64_t at = 0; status == EET_OK && at < bytes; at += s->chunk) {
        const uint64_t step = bytes - at < s->chunk ? bytes - at : s->chunk;

        status = eet_writer_append(s->writer, number, data + at, step, s->err);
    }
    free(data);
    return status;
}

eet_status eet_sample_stream(eet_writer *writer, const eet_sample_model *model, uint64_t chunk,
                             eet_error *err) {
    streamer s = {model, writer, chunk, 0, err};

    return eet_facts_expect(&model->facts, stream_one, &s);
}

void eet_sample_write(const char *path, const eet_sample_model *model) {
    const eet_writer_options options = {.force = true, .no_sync = true};
    eet_writer *writer = NULL;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_writer_create(path, &options, &writer, &err) == EET_OK, "%s", err.text);
    eet_sample_declare(writer, model);
    ck_assert_msg(eet_writer_plan(writer, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_writer_begin(writer, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_sample_stream(writer, model, 1 << 20, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_writer_commit(writer, &err) == EET_OK, "%s", err.text);
    eet_writer_free(writer);
}
