/* limits.c - a session's options with every default filled in. */
#include <limits.h>
#include <stddef.h>

#include "engine/session.h"

enum {
    DEFAULT_TOKENS = 2048, /* of a sequence, where positions set no bound */
    DEFAULT_BATCH = 512,
    DEFAULT_OUTPUTS = 16,
    MAX_SEQUENCES = 65536,
    MAX_TOKENS = 1 << 24,
    MOST_CHOICES = 1 << 15 /* rows of a grid of CUDA, fewer than 2^16 */
};

typedef struct option_bound {
    const char *name;
    size_t offset;
    int32_t high;
} option_bound;

static const option_bound bounds[] = {
    {"threads", offsetof(eet_session_options, threads), 1024},
    {"max_sequences", offsetof(eet_session_options, max_sequences), MAX_SEQUENCES},
    {"max_tokens", offsetof(eet_session_options, max_tokens), MAX_TOKENS},
    {"max_batch_tokens", offsetof(eet_session_options, max_batch_tokens), MAX_TOKENS},
    {"cache_tokens", offsetof(eet_session_options, cache_tokens), INT32_MAX - 64},
    {"max_sources", offsetof(eet_session_options, max_sources), MAX_SEQUENCES},
    {"source_tokens", offsetof(eet_session_options, source_tokens), MAX_TOKENS},
    {"max_outputs", offsetof(eet_session_options, max_outputs), MAX_TOKENS},
};

static eet_status check_bounds(const eet_session_options *options, eet_error *err) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; ++i) {
        const int32_t value =
            *(const int32_t *)(const void *)((const char *)options + bounds[i].offset);

        if (value < 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s is %d; it cannot be negative",
                            bounds[i].name, (int)value);
        }
        if (value > bounds[i].high) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "%s is %d; at most %d is possible",
                            bounds[i].name, (int)value, (int)bounds[i].high);
        }
    }
    return EET_OK;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static void widen_for_stack(eet_limits *l, const eet_stack *stack) {
    l->hidden = larger(l->hidden, stack->hidden);
    l->inner = larger(l->inner, stack->heads * stack->head_dim);
    l->ffn = larger(l->ffn, stack->ffn);
    l->projected = larger(l->projected, stack->proj_in.w.data != NULL ? stack->emb_dim : 0);
    l->post_norm = l->post_norm || !stack->pre_norm;
    l->stream_bytes = larger(l->stream_bytes, eet_activation_bytes(stack->stream));
    l->inner_bytes = larger(l->inner_bytes, eet_activation_bytes(stack->inner));
}

static void widen_for_head(eet_limits *l, const eet_head *head) {
    l->dense = larger(l->dense, head->dense.w.data != NULL ? head->dense.w.n : 0);
    l->width = larger(l->width, head->width);
}

static void widen_for_model(eet_limits *l, const eet_model *model) {
    for (int32_t s = 0; s < EET_STACKS; ++s) {
        if (model->facts->stack[s].present) {
            widen_for_stack(l, &model->stack[s]);
        }
    }
    l->families = model->api->families(model->backend);
    l->width = l->hidden;                        /* EET_HIDDEN */
    l->hidden = larger(l->hidden, l->cross_dim); /* a source is cut into passes like a text */
    for (int32_t i = 0; i < model->facts->heads; ++i) {
        widen_for_head(l, &model->head[i]);
    }
}

/* Slots for sources, when the decoder looks at any. */
static eet_status set_sources(const eet_model *model, const eet_session_options *options,
                              eet_limits *l, eet_error *err) {
    const eet_stack *encoder = &model->stack[EET_ENC]; /* zeros where there is none */
    const int32_t bound = encoder->pos_skip_pad ? 0 : encoder->pos_rows;

    l->cross_dim = model->facts->stack[EET_DEC].cross_dim;
    if (l->cross_dim == 0) {
        return options->max_sources == 0 && options->source_tokens == 0
                   ? EET_OK
                   : eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                              "max_sources and source_tokens are for a decoder with cross "
                              "attention; the model has none");
    }
    if (bound > 0 && options->source_tokens > bound) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "source_tokens is %d; the encoder has %d positions",
                        (int)options->source_tokens, (int)bound);
    }
    l->sources = options->max_sources > 0 ? options->max_sources : l->sequences;
    l->source_tokens = options->source_tokens;
    if (l->source_tokens == 0) {
        l->source_tokens = encoder->pos_rows > 0 ? encoder->pos_rows : DEFAULT_TOKENS;
    }
    l->source_stride = eet_pages_for(l->source_tokens);
    l->source_rows = smaller(l->batch_tokens, larger(l->sequences, DEFAULT_OUTPUTS));
    return EET_OK;
}

/* Pages of the cache, when the model has a decoder. */
static eet_status set_cache(const eet_model *model, const eet_session_options *options,
                            eet_limits *l, eet_error *err) {
    const eet_stack *decoder = &model->stack[EET_DEC];
    const int32_t bound = model->facts->stack[EET_DEC].present ? decoder->pos_rows : 0;

    if (bound > 0 && !decoder->pos_skip_pad && options->max_tokens > bound) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "max_tokens is %d; the model has %d positions", (int)options->max_tokens,
                        (int)bound);
    }
    l->tokens = options->max_tokens;
    if (l->tokens == 0) {
        l->tokens = bound > 0 ? bound : DEFAULT_TOKENS;
    }
    if (!model->facts->stack[EET_DEC].present) {
        return EET_OK;
    }
    l->layers = decoder->layers;
    l->heads = decoder->heads;
    l->head_dim = decoder->head_dim;
    l->stride = eet_pages_for(l->tokens);
    const int64_t pages = options->cache_tokens > 0 ? eet_pages_for(options->cache_tokens)
                                                    : (int64_t)l->sequences * l->stride +
                                                          (int64_t)l->sources * l->source_stride;

    if (pages > INT32_MAX / EET_PAGE_TOKENS) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "%d sequences of %d tokens and %d sources of %d are more than a cache can "
                        "hold",
                        (int)l->sequences, (int)l->tokens, (int)l->sources, (int)l->source_tokens);
    }
    l->pages = (int32_t)pages;
    return EET_OK;
}

eet_status eet_limits_make(const eet_model *model, const eet_session_options *options,
                           eet_limits *out, eet_error *err) {
    eet_status status = check_bounds(options, err);
    eet_limits l = {
        .threads = options->threads,
        .sequences = larger(options->max_sequences, 1),
        .batch_tokens = options->max_batch_tokens > 0 ? options->max_batch_tokens : DEFAULT_BATCH,
        .cache_dtype = options->cache_dtype,
    };

    if (status != EET_OK) {
        return status;
    }
    if (l.cache_dtype == 0) {
        l.cache_dtype = eet_activation(model->stack[EET_DEC].inner);
    }
    if (l.cache_dtype != EET_F32 && l.cache_dtype != EET_F16 && l.cache_dtype != EET_BF16) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "cache_dtype is %d; f32, f16 and bf16 are possible", (int)l.cache_dtype);
    }
    status = set_sources(model, options, &l, err);
    if (status != EET_OK) {
        return status;
    }
    l.outputs =
        options->max_outputs > 0 ? options->max_outputs : larger(l.sequences, DEFAULT_OUTPUTS);
    if (l.outputs > l.batch_tokens) {
        l.outputs = l.batch_tokens; /* no pass has more positions */
    }
    if (model->facts->stack[EET_DEC].present) {
        l.choices = smaller(smaller(l.outputs, l.sequences), MOST_CHOICES);
    }
    widen_for_model(&l, model);
    if (l.choices > 0 && l.sequences > 1) {
        l.ranked = smaller(l.sequences + EET_MAX_BARRED, l.width);
    }
    *out = l;
    return set_cache(model, options, out, err);
}
