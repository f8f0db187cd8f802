/* bench_random.c - models of random weights in memory: no file, no checkpoint, no digest. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/commands/bench.h"
#include "format/half.h"
#include "format/slots.h"
#include "format/writer.h"
#include "kernels/pool.h"

enum { MAX_SIDE = 1 << 20, MAX_LAYERS = 4096, MAX_TENSORS = 1 << 17 };

static const eet_bench_shape known[] = {
    {.name = "gpt2", .layers = 12, .hidden = 768, .heads = 12, .vocab = 50257, .positions = 1024},
    {.name = "gpt2-medium",
     .layers = 24,
     .hidden = 1024,
     .heads = 16,
     .vocab = 50257,
     .positions = 1024},
    {.name = "gpt2-large",
     .layers = 36,
     .hidden = 1280,
     .heads = 20,
     .vocab = 50257,
     .positions = 1024},
    {.name = "gpt2-xl",
     .layers = 48,
     .hidden = 1600,
     .heads = 25,
     .vocab = 50257,
     .positions = 1024},
    {.name = "bert-base",
     .layers = 12,
     .hidden = 768,
     .heads = 12,
     .vocab = 30522,
     .positions = 512,
     .encoder = true},
    {.name = "bert-large",
     .layers = 24,
     .hidden = 1024,
     .heads = 16,
     .vocab = 30522,
     .positions = 512,
     .encoder = true},
};

/* ---- what is asked for --------------------------------------------------- */

static const struct {
    const char *key;
    size_t offset;
    int32_t high;
} numbers[] = {
    {"layers", offsetof(eet_bench_shape, layers), MAX_LAYERS},
    {"hidden", offsetof(eet_bench_shape, hidden), MAX_SIDE},
    {"heads", offsetof(eet_bench_shape, heads), MAX_SIDE},
    {"vocab", offsetof(eet_bench_shape, vocab), 1 << 24},
    {"ffn", offsetof(eet_bench_shape, ffn), MAX_SIDE},
    {"positions", offsetof(eet_bench_shape, positions), 1 << 24},
};

static eet_status bad_value(const char *key, const char *value, const char *wanted,
                            eet_error *err) {
    eet_shown shown;

    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--random: %s is \"%s\"; it is %s", key,
                    eet_show(&shown, value, strlen(value)), wanted);
}

/* One key=value; both are terminated. */
static eet_status set_key(eet_bench_shape *shape, const char *key, const char *value,
                          eet_error *err) {
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
        if (strcmp(key, numbers[i].key) == 0) {
            char *end = NULL;
            const long number = strtol(value, &end, 10);

            if (value[0] < '0' || value[0] > '9' || *end != '\0' || number < 1 ||
                number > numbers[i].high) {
                return bad_value(key, value, "a number from 1 to what a model can have", err);
            }
            *(int32_t *)(void *)((char *)shape + numbers[i].offset) = (int32_t)number;
            return EET_OK;
        }
    }
    if (strcmp(key, "dtype") == 0) {
        const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};

        for (int32_t i = 0; i < 3; ++i) {
            if (strcmp(value, eet_dtype_name((eet_dtype)dtypes[i])) == 0) {
                shape->dtype = dtypes[i];
                return EET_OK;
            }
        }
        return bad_value(key, value, "f32, f16 or bf16", err);
    }
    if (strcmp(key, "kind") == 0) {
        shape->encoder = strcmp(value, "encoder") == 0;
        return shape->encoder || strcmp(value, "decoder") == 0
                   ? EET_OK
                   : bad_value(key, value, "encoder or decoder", err);
    }
    eet_shown shown;

    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                    "--random: there is no \"%s\"; layers, hidden, heads, vocab, ffn, positions, "
                    "dtype and kind are possible",
                    eet_show(&shown, key, strlen(key)));
}

static eet_status set_keys(eet_bench_shape *shape, char *text, eet_error *err) {
    eet_status status = EET_OK;
    char *rest = NULL;

    for (char *item = strtok_r(text, ",", &rest); item != NULL && status == EET_OK;
         item = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(item, '=');

        if (value == NULL) {
            eet_shown shown;

            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "--random: there is no model \"%s\"; gpt2, gpt2-medium, gpt2-large, "
                            "gpt2-xl, bert-base, bert-large or layers=,hidden=,heads=,vocab=",
                            eet_show(&shown, item, strlen(item)));
        }
        *value++ = '\0';
        status = set_key(shape, item, value, err);
    }
    return status;
}

static eet_status check_shape(eet_bench_shape *shape, eet_error *err) {
    if (shape->layers == 0 || shape->hidden == 0 || shape->heads == 0 || shape->vocab == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--random needs at least layers=, hidden=, heads= and vocab=");
    }
    if (shape->hidden % shape->heads != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--random: hidden %d is no multiple of %d heads", (int)shape->hidden,
                        (int)shape->heads);
    }
    shape->ffn = shape->ffn > 0 ? shape->ffn : 4 * shape->hidden;
    if (shape->positions == 0) {
        shape->positions = shape->encoder ? 512 : 1024;
    }
    return EET_OK;
}

eet_status eet_bench_parse_shape(const char *text, eet_bench_shape *out, eet_error *err) {
    eet_bench_shape shape = {.layers = 0};
    eet_status status = EET_OK;
    size_t at = 0;

    while (at < sizeof known / sizeof known[0] && strcmp(known[at].name, text) != 0) {
        ++at;
    }
    if (at < sizeof known / sizeof known[0]) {
        shape = known[at];
    } else {
        char *copy = strdup(text);

        if (copy == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for an option");
        }
        status = set_keys(&shape, copy, err);
        free(copy);
    }
    if (status == EET_OK) {
        status = check_shape(&shape, err);
    }
    if (status == EET_OK) {
        *out = shape;
    }
    return status;
}

/* ---- facts --------------------------------------------------------------- */

/* Those of GPT-2, or of BERT: what its converter would say. */
static void facts_of(const eet_bench_shape *shape, eet_facts *out) {
    const int32_t which = shape->encoder ? EET_ENC : EET_DEC;
    eet_stack_facts s = eet_stack_facts_default();

    s.present = true;
    s.layers = shape->layers;
    s.heads = shape->heads;
    s.head_dim = shape->hidden / shape->heads;
    s.hidden = shape->hidden;
    s.emb_dim = shape->hidden;
    s.ffn = shape->ffn;
    s.act = shape->encoder ? EET_ACT_GELU_ERF : EET_ACT_GELU_TANH;
    s.pre_norm = !shape->encoder;
    s.final_norm = !shape->encoder;
    s.emb_norm = shape->encoder;
    s.norm_eps = shape->encoder ? 1e-12 : 1e-5;
    s.attn_scale = 1.0 / sqrt((double)s.head_dim);
    s.pos_table = true;
    s.pos_rows = shape->positions;
    s.types = shape->encoder ? 2 : 0;
    s.type_default = shape->encoder ? 0 : -1;
    s.vocab_size = shape->vocab;
    s.vocab_rows = shape->vocab;
    *out = (eet_facts){.heads = 1};
    (void)strcpy(out->family, "random");
    out->stack[which] = s;
    out->head[0] = shape->encoder
                       ? (eet_head_facts){.name = "pooler",
                                          .stack = EET_ENC,
                                          .take = EET_TAKE_FIRST,
                                          .act = EET_ACT_TANH}
                       : (eet_head_facts){.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY};
}

/* ---- tensors ------------------------------------------------------------- */

typedef struct planned {
    int64_t count;  /* numbers */
    int32_t number; /* in the writer */
    uint16_t role;
    int16_t layer;
} planned;

typedef struct maker {
    const eet_bench_shape *shape;
    eet_writer *writer;
    planned *tensors; /* (MAX_TENSORS) */
    int32_t count;
    eet_error *err;
} maker;

static bool is_norm(uint16_t role) {
    static const uint8_t norms[] = {EET_SLOT_EMB_NORM, EET_SLOT_NORM, EET_SLOT_ATTN_NORM,
                                    EET_SLOT_FFN_NORM};

    return role >> 8 != EET_GROUP_HEAD && memchr(norms, role & 0xFF, sizeof norms) != NULL;
}

/* The heads are the smallest: an output tied to the table of tokens, or a dense pooler. */
static bool has_place(const maker *m, const eet_expected *e) {
    const int slot = e->role & 0xFF;

    if (e->role >> 8 != EET_GROUP_HEAD) {
        return true;
    }
    return m->shape->encoder ? slot == EET_SLOT_HEAD_DENSE || slot == EET_SLOT_HEAD_DENSE + 1
                             : slot == EET_SLOT_HEAD_OUT;
}

static eet_status declare_one(void *context, const eet_expected *e) {
    maker *m = context;
    const bool of_head = e->role >> 8 == EET_GROUP_HEAD;
    const bool tied = of_head && !m->shape->encoder;
    eet_writer_tensor t = {.role = e->role,
                           .layer = (int16_t)e->layer,
                           .dtype = m->shape->dtype,
                           .rank = e->rank,
                           .dims = {(uint64_t)e->shape[0], (uint64_t)e->shape[1]},
                           .alias_of = tied ? 0 : -1}; /* the table of tokens is the first */
    planned *p = &m->tensors[m->count];

    if (!has_place(m, e)) {
        return EET_OK;
    }
    if (of_head) {
        t.dims[0] = (uint64_t)(tied ? m->shape->vocab : m->shape->hidden);
        t.dims[1] = (uint64_t)m->shape->hidden;
    }
    if (m->count == MAX_TENSORS) {
        return eet_fail(m->err, EET_E_LIMIT, EET_NOWHERE, "--random: more than %d tensors",
                        MAX_TENSORS);
    }
    const eet_status status = eet_writer_tensor_add(m->writer, &t, &p->number, m->err);

    p->count = (int64_t)t.dims[0] * (e->rank == 2 ? (int64_t)t.dims[1] : 1);
    p->role = t.role;
    p->layer = t.layer;
    m->count += tied ? 0 : 1;
    return status;
}

/* ---- numbers ------------------------------------------------------------- */

typedef struct filling {
    uint8_t *data;
    int64_t count;
    uint64_t seed;
    int32_t dtype;
    float scale, middle;
} filling;

/* splitmix64 */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Nearly normal, deviation 1: four even numbers of 16 bits together. */
static inline float bell(uint64_t bits) {
    const int32_t sum = (int32_t)(bits & 0xFFFF) + (int32_t)(bits >> 16 & 0xFFFF) +
                        (int32_t)(bits >> 32 & 0xFFFF) + (int32_t)(bits >> 48);

    return (float)(sum - 2 * 0xFFFF) * 2.64290e-5F; /* 1 / (65536 / sqrt(3)) */
}

static void fill_part(void *context, int32_t part, int32_t parts) {
    const filling *f = context;
    int64_t first = 0;
    int64_t count = 0;

    eet_part_range(f->count, 1024, part, parts, &first, &count);
    for (int64_t i = first; i < first + count; ++i) {
        const uint64_t bits = mix(f->seed + (uint64_t)i * UINT64_C(0x9E3779B97F4A7C15));
        const float value = f->middle + f->scale * bell(bits);

        if (f->dtype == EET_F32) {
            memcpy(f->data + 4 * i, &value, 4);
        } else {
            const uint16_t half =
                f->dtype == EET_F16 ? eet_f32_to_f16(value) : eet_f32_to_bf16(value);

            memcpy(f->data + 2 * i, &half, 2);
        }
    }
}

/* As training of GPT-2 and BERT begins: deviation 0.02, what adds to GPT-2's stream less the
 * more layers add to it, norms at 1. Biases, which begin at 0, are no zeros here: a
 * processor may do zeros faster. */
static void fill(const maker *m, eet_pool *pool, uint8_t *image) {
    for (int32_t i = 0; i < m->count; ++i) {
        const planned *p = &m->tensors[i];
        const int slot = p->role & 0xFF;
        const bool adds = p->role >> 8 != EET_GROUP_HEAD &&
                          (slot == EET_SLOT_ATTN_OUT || slot == EET_SLOT_FFN_FC2);
        filling f = {
            .data = image + eet_writer_offset(m->writer, p->number),
            .count = p->count,
            .seed = mix((uint64_t)p->role << 16 | (uint16_t)p->layer),
            .dtype = m->shape->dtype,
            .scale = 0.02F,
            .middle = is_norm(p->role) ? 1.0F : 0.0F,
        };

        if (adds && !m->shape->encoder) {
            f.scale /= sqrtf(2.0F * (float)m->shape->layers);
        }
        eet_pool_run(pool, fill_part, &f);
    }
}

/* ---- the image ----------------------------------------------------------- */

static eet_status image_alloc(uint64_t size, eet_bench_image *out, eet_error *err) {
    out->bytes =
        mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (out->bytes == MAP_FAILED) {
        out->bytes = NULL;
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE,
                        "--random: no memory for a model of %llu "
                        "bytes",
                        (unsigned long long)size);
    }
    out->size = size;
    (void)madvise(out->bytes, (size_t)size, MADV_HUGEPAGE); /* quicker to fill */
    return EET_OK;
}

static eet_status declare(maker *m) {
    eet_facts facts;

    facts_of(m->shape, &facts);
    eet_status status = eet_writer_facts(m->writer, &facts, m->err);

    if (status == EET_OK) {
        status = eet_facts_expect(&facts, declare_one, m);
    }
    return status == EET_OK ? eet_writer_plan(m->writer, m->err) : status;
}

static eet_status make(maker *m, eet_bench_image *out) {
    eet_pool *pool = NULL;
    eet_status status = declare(m);

    if (status == EET_OK) {
        status = image_alloc(eet_writer_bytes(m->writer), out, m->err);
    }
    if (status == EET_OK) {
        status = eet_pool_create(0, &pool);
        if (status != EET_OK) {
            (void)eet_fail(m->err, status, EET_NOWHERE, "--random: no threads");
        }
    }
    if (status == EET_OK) {
        fill(m, pool, out->bytes);
        status = eet_writer_image(m->writer, out->bytes, m->err);
    }
    eet_pool_destroy(pool);
    return status;
}

eet_status eet_bench_image_make(const eet_bench_shape *shape, eet_bench_image *out,
                                eet_error *err) {
    maker m = {.shape = shape, .err = err};
    eet_status status = eet_writer_create("random.eet", NULL, &m.writer, err); /* never made */

    m.tensors = malloc(MAX_TENSORS * sizeof *m.tensors);
    if (status == EET_OK && m.tensors == NULL) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the plan of a model");
    }
    if (status == EET_OK) {
        status = make(&m, out);
    }
    if (status != EET_OK) {
        eet_bench_image_free(out);
    }
    free(m.tensors);
    eet_writer_free(m.writer);
    return status;
}

void eet_bench_image_free(eet_bench_image *image) {
    if (image->bytes != NULL) {
        (void)munmap(image->bytes, (size_t)image->size);
    }
    *image = (eet_bench_image){.bytes = NULL};
}
