/* make_golden.c - writes the files of fixtures/eet into a folder, the same bytes on every run:
 * the smallest sensible decoder, the smallest encoder-decoder, and one with NaN and infinity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/facts.h"
#include "format/slots.h"
#include "format/writer.h"

enum { VOCAB = 5, HIDDEN = 4, MAX_ADDED = 128 };

/* The tensors of a model in execution order, as declared. */
typedef struct maker {
    eet_writer *writer;
    eet_writer_tensor tensors[MAX_ADDED];
    int32_t count;
    bool with_biases, spoilt;
    int32_t dtype;
    eet_error *err;
} maker;

static eet_status add(maker *m, const eet_writer_tensor *tensor) {
    int32_t number = 0;

    m->tensors[m->count++] = *tensor;
    return eet_writer_tensor_add(m->writer, tensor, &number, m->err);
}

static int32_t number_of(const maker *m, uint16_t role) {
    for (int32_t i = 0; i < m->count; i++) {
        if (m->tensors[i].role == role) {
            return i;
        }
    }
    return -1;
}

/* All that the facts call for; heads are added by hand. */
static eet_status add_expected(void *context, const eet_expected *e) {
    maker *m = context;
    eet_writer_tensor tensor = {.role = e->role,
                                .layer = (int16_t)e->layer,
                                .dtype = m->dtype,
                                .rank = e->rank,
                                .dims = {(uint64_t)e->shape[0], (uint64_t)e->shape[1]},
                                .alias_of = -1};

    if (e->head != NULL || (!e->required && !m->with_biases)) {
        return EET_OK;
    }
    /* Sinusoidal positions are computed by a converter; the source's vocabulary is shared. */
    tensor.synth = !m->with_biases && (e->role & 0xFF) == EET_SLOT_EMB_POS;
    if (e->role == eet_role(EET_GROUP_DEC, EET_SLOT_EMB_TOK, false)) {
        tensor.alias_of = number_of(m, eet_role(EET_GROUP_ENC, EET_SLOT_EMB_TOK, false));
    }
    return add(m, &tensor);
}

/* out = the table of tokens. */
static eet_status add_tied_head(maker *m) {
    const int32_t target = number_of(m, eet_role(EET_GROUP_DEC, EET_SLOT_EMB_TOK, false));
    eet_writer_tensor out = m->tensors[target];

    out.role = eet_role(EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, false);
    out.layer = 0;
    out.alias_of = out.alias_of >= 0 ? out.alias_of : target;
    return add(m, &out);
}

/* Element i of tensor t: a small multiple of 1/64, exact in every dtype. */
static float value_of(int32_t tensor, uint64_t index) {
    const int step = (int)((index * 7 + (uint64_t)tensor * 13) % 65) - 32;

    return (float)step / 64.0F;
}

static eet_status fill(maker *m, int32_t number) {
    const eet_writer_tensor *t = &m->tensors[number];
    const uint64_t count = t->dims[0] * (t->rank == 2 ? t->dims[1] : 1);
    uint32_t wide[256];
    uint16_t narrow[256];

    for (uint64_t i = 0; i < count; i++) {
        const float value = value_of(number, i);

        memcpy(&wide[i], &value, sizeof value);
        narrow[i] = (uint16_t)(wide[i] >> 16); /* bf16, exact */
    }
    if (m->spoilt && number == 1) {
        narrow[0] = 0x7FC0; /* NaN */
        narrow[1] = 0xFF80; /* -infinity */
    }
    if (t->dtype == EET_BF16) {
        return eet_writer_append(m->writer, number, narrow, 2 * count, m->err);
    }
    return eet_writer_append(m->writer, number, wide, 4 * count, m->err);
}

static eet_status write_tensors(maker *m) {
    eet_status status = eet_writer_plan(m->writer, m->err);

    if (status == EET_OK) {
        status = eet_writer_begin(m->writer, m->err);
    }
    for (int32_t i = 0; status == EET_OK && i < m->count; i++) {
        if (m->tensors[i].alias_of < 0) {
            status = fill(m, i);
        }
    }
    return status == EET_OK ? eet_writer_commit(m->writer, m->err) : status;
}

static eet_stack_facts small_stack(void) {
    eet_stack_facts s = eet_stack_facts_default();

    s.present = true;
    s.layers = 1;
    s.heads = 2;
    s.head_dim = 2;
    s.hidden = HIDDEN;
    s.ffn = 8;
    s.norm_eps = 1e-5;
    s.attn_scale = 0.70710678118654757;
    s.pos_table = true;
    s.pos_rows = 6;
    s.emb_dim = HIDDEN;
    s.vocab_size = VOCAB;
    s.vocab_rows = VOCAB;
    s.tok_eos = 4;
    return s;
}

static void name_head(eet_facts *facts, const char *family) {
    facts->heads = 1;
    facts->head[0] =
        (eet_head_facts){.stack = EET_DEC, .take = EET_TAKE_EVERY, .act = EET_ACT_LINEAR};
    (void)snprintf(facts->head[0].name, sizeof facts->head[0].name, "lm");
    (void)snprintf(facts->family, sizeof facts->family, "%s", family);
}

static eet_facts decoder_facts(void) {
    eet_facts facts = {.heads = 0};
    eet_stack_facts *dec = &facts.stack[EET_DEC];

    *dec = small_stack();
    dec->act = EET_ACT_GELU_TANH;
    dec->pre_norm = true;
    dec->final_norm = true;
    dec->tok_bos = 4;
    name_head(&facts, "gpt2");
    return facts;
}

static eet_facts encoder_decoder_facts(void) {
    eet_facts facts = {.heads = 0};

    for (int s = 0; s < EET_STACKS; s++) {
        eet_stack_facts *stack = &facts.stack[s];

        *stack = small_stack();
        stack->act = EET_ACT_RELU;
        stack->emb_dim = 2; /* proj_in */
        stack->emb_scale = 2.0;
        stack->pos_skip_pad = true;
        stack->tok_pad = 1;
        stack->vocab_size = VOCAB - 1; /* the last row is padding */
        stack->tok_eos = 2;
    }
    facts.stack[EET_DEC].start = 2;
    facts.stack[EET_DEC].cross = true;
    facts.stack[EET_DEC].cross_dim = HIDDEN;
    name_head(&facts, "fs_nmt");
    return facts;
}

static eet_status add_extras(maker *m) {
    static const char config[] = "{\"model_type\": \"gpt2\"}\n";
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"c\": 2, \"d\": 3, \"<end>\": 4}\n";
    eet_kv_builder *prov = eet_kv_builder_create();

    eet_kv_set_string(prov, "conv.version", 0, "golden");
    eet_kv_set_string(prov, "src.0.name", 0, "pytorch_model.bin");
    eet_kv_set_u64(prov, "src.0.bytes", 0, 1234);
    eet_status status = eet_writer_provenance(m->writer, prov, m->err);

    eet_kv_builder_free(prov);
    if (status == EET_OK) {
        status = eet_writer_asset(m->writer, "config.json", false, config, strlen(config), m->err);
    }
    if (status == EET_OK) {
        status = eet_writer_asset(m->writer, "vocab.json", true, vocab, strlen(vocab), m->err);
    }
    return status;
}

/* The decoder has biases, extras and f32; the encoder-decoder none of them, and bf16. */
static eet_status make(const char *path, bool decoder, bool spoilt, eet_error *err) {
    const eet_writer_options options = {.no_sync = true};
    const eet_facts facts = decoder ? decoder_facts() : encoder_decoder_facts();
    maker m = {.with_biases = decoder,
               .spoilt = spoilt,
               .dtype = decoder ? EET_F32 : EET_BF16,
               .err = err};
    eet_status status = eet_writer_create(path, &options, &m.writer, err);

    if (status == EET_OK) {
        status = eet_writer_facts(m.writer, &facts, err);
    }
    if (status == EET_OK && decoder) {
        status = add_extras(&m);
    }
    if (status == EET_OK) {
        status = eet_facts_expect(&facts, add_expected, &m);
    }
    if (status == EET_OK && decoder) {
        status = add_tied_head(&m);
    }
    if (status == EET_OK) {
        status = write_tensors(&m);
    }
    eet_writer_free(m.writer);
    return status;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"golden-encdec-1.0.eet", "golden-1.0.eet", "nan.eet"};
    char path[4096];

    for (int i = 0; i < 3; i++) {
        eet_error err = {.status = EET_OK};

        if (argc != 2 ||
            snprintf(path, sizeof path, "%s/%s", argv[1], names[i]) >= (int)sizeof path) {
            (void)fprintf(stderr, "usage: make_golden FOLDER\n");
            return 2;
        }
        if (make(path, i == 1, i == 2, &err) != EET_OK) {
            (void)fprintf(stderr, "make_golden: %s: %s\n", path, err.text);
            return 1;
        }
    }
    return 0;
}
