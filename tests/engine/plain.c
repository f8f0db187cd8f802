/* plain.c - the forward pass of a text book, in double. */
#include "tests/engine/plain.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"

typedef struct tensor {
    double *data; /* NULL: the file has none */
    int64_t rows, cols;
} tensor;

static tensor get(const eet_model *model, const char *name) {
    eet_model_info info = {.size = sizeof info};
    tensor t = {0};

    ck_assert_int_eq(eet_model_describe(model, &info, NULL), EET_OK);
    for (int32_t i = 0; i < info.tensors; ++i) {
        eet_tensor_info found = {.size = sizeof found};

        ck_assert_int_eq(eet_model_tensor(model, i, &found, NULL), EET_OK);
        if (strcmp(found.name, name) != 0) {
            continue;
        }
        t.rows = found.array.shape[0];
        t.cols = found.array.rank == 2 ? found.array.shape[1] : 1;
        t.data = calloc((size_t)(t.rows * t.cols), sizeof *t.data);
        for (int64_t j = 0; j < t.rows * t.cols; ++j) {
            t.data[j] = (double)eet_float_at(found.array.data, found.array.dtype, j);
        }
    }
    return t;
}

static tensor get_part(const eet_model *model, const char *prefix, const char *part) {
    char name[96];

    (void)snprintf(name, sizeof name, "%s%s", prefix, part);
    return get(model, name);
}

static double activation(int32_t act, double x) {
    switch (act) {
    case EET_ACT_RELU:
        return fmax(x, 0.0);
    case EET_ACT_GELU_ERF:
        return x * 0.5 * (1.0 + erf(x * M_SQRT1_2));
    case EET_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * pow(x, 3))));
    case EET_ACT_SILU:
        return x / (1.0 + exp(-x));
    case EET_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case EET_ACT_TANH:
        return tanh(x);
    case EET_ACT_RELU2:
        return pow(fmax(x, 0.0), 2);
    default:
        return x;
    }
}

/* rows of x times w^T plus b, for the part `prefix`.w, `prefix`.b */
static double *linear(const eet_model *model, const char *prefix, const char *part, const double *x,
                      int64_t rows, int64_t *width) {
    char name[96];

    (void)snprintf(name, sizeof name, "%s%s", prefix, part);
    tensor w = get_part(model, name, ".w");
    tensor b = get_part(model, name, ".b");
    double *y = calloc((size_t)(rows * w.rows), sizeof *y);

    ck_assert_ptr_nonnull(w.data);
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < w.rows; ++j) {
            double sum = b.data != NULL ? b.data[j] : 0.0;

            for (int64_t k = 0; k < w.cols; ++k) {
                sum += x[r * w.cols + k] * w.data[j * w.cols + k];
            }
            y[r * w.rows + j] = sum;
        }
    }
    *width = w.rows;
    free(w.data);
    free(b.data);
    return y;
}

/* In place. */
static void norm(const eet_model *model, const char *prefix, const char *part, double eps,
                 double *x, int64_t rows) {
    char name[96];

    (void)snprintf(name, sizeof name, "%s%s", prefix, part);
    tensor w = get_part(model, name, ".w");
    tensor b = get_part(model, name, ".b");

    ck_assert_ptr_nonnull(w.data);
    for (int64_t r = 0; r < rows; ++r) {
        double *row = x + r * w.rows;
        double mean = 0.0;
        double square = 0.0;

        for (int64_t j = 0; j < w.rows; ++j) {
            mean += row[j] / (double)w.rows;
        }
        for (int64_t j = 0; j < w.rows; ++j) {
            square += pow(row[j] - mean, 2) / (double)w.rows;
        }
        for (int64_t j = 0; j < w.rows; ++j) {
            row[j] = (row[j] - mean) / sqrt(square + eps) * w.data[j] +
                     (b.data != NULL ? b.data[j] : 0.0);
        }
    }
    free(w.data);
    free(b.data);
}

static double *embed(const eet_model *model, const eet_stack_facts *s, const char *prefix,
                     const int32_t *ids, const int32_t *types, const int32_t *positions,
                     int32_t count) {
    tensor token = get_part(model, prefix, "emb.tok");
    tensor position = get_part(model, prefix, "emb.pos");
    tensor type = get_part(model, prefix, "emb.type");
    double *x = calloc((size_t)(count * s->emb_dim), sizeof *x);
    int32_t next = 0;

    for (int32_t t = 0; t < count; ++t) {
        for (int32_t j = 0; j < s->emb_dim; ++j) {
            x[t * s->emb_dim + j] = token.data[ids[t] * s->emb_dim + j] * s->emb_scale;
        }
    }
    if (s->emb_dim != s->hidden) {
        int64_t width = 0;
        double *wide = linear(model, prefix, "emb.proj_in", x, count, &width);

        free(x);
        x = wide;
    }
    for (int32_t t = 0; t < count; ++t) {
        const bool pad = s->pos_skip_pad && ids[t] == s->tok_pad;
        const int32_t own = pad ? -1 : next;
        const int32_t at = positions != NULL ? positions[t] : own;
        const int32_t kind = types != NULL ? types[t] : s->type_default;

        next += pad ? 0 : 1;
        for (int32_t j = 0; j < s->hidden; ++j) {
            x[t * s->hidden + j] +=
                (position.data != NULL && at >= 0 ? position.data[at * s->hidden + j] : 0.0) +
                (type.data != NULL && kind >= 0 ? type.data[kind * s->hidden + j] : 0.0);
        }
    }
    free(token.data);
    free(position.data);
    free(type.data);
    return x;
}

static double *attention(const eet_stack_facts *s, bool causal, int layer, const double *qkv,
                         int32_t count) {
    const int32_t d = s->head_dim;
    const int32_t inner = s->heads * d;
    const double scale = s->attn_scale / (s->inv_layer_scale ? layer + 1 : 1);
    double *y = calloc((size_t)(count * inner), sizeof *y);
    double *p = calloc((size_t)count, sizeof *p);

    for (int32_t t = 0; t < count; ++t) {
        const int32_t keys = causal ? t + 1 : count;

        for (int32_t h = 0; h < s->heads; ++h) {
            double top = -INFINITY;
            double sum = 0.0;

            for (int32_t u = 0; u < keys; ++u) {
                p[u] = 0.0;
                for (int32_t i = 0; i < d; ++i) {
                    p[u] += qkv[t * 3 * inner + h * d + i] * qkv[u * 3 * inner + inner + h * d + i];
                }
                p[u] *= scale;
                top = fmax(top, p[u]);
            }
            for (int32_t u = 0; u < keys; ++u) {
                p[u] = exp(p[u] - top);
                sum += p[u];
            }
            for (int32_t i = 0; i < d * keys; ++i) {
                y[t * inner + h * d + i % d] +=
                    p[i / d] / sum * qkv[i / d * 3 * inner + 2 * inner + h * d + i % d];
            }
        }
    }
    free(p);
    return y;
}

static double *copy(const double *x, int64_t count) {
    double *y = malloc((size_t)count * sizeof *y);

    memcpy(y, x, (size_t)count * sizeof *y);
    return y;
}

static void add_and_free(double *x, double *y, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        x[i] += y[i];
    }
    free(y);
}

static double *sublayer(const eet_model *model, const eet_stack_facts *s, int stack,
                        const char *prefix, int layer, double *x, int32_t count, bool ffn) {
    int64_t width = 0;
    double *inner = linear(model, prefix, ffn ? "ffn.fc1" : "attn.qkv", x, count, &width);

    if (ffn) {
        for (int64_t i = 0; i < width * count; ++i) {
            inner[i] = activation(s->act, inner[i]);
        }
    } else {
        double *mixed = attention(s, stack == EET_DEC, layer, inner, count);

        free(inner);
        inner = mixed;
    }
    double *y = linear(model, prefix, ffn ? "ffn.fc2" : "attn.out", inner, count, &width);

    free(inner);
    return y;
}

double *eet_plain_hidden(const eet_model *model, const eet_sample_model *sample, int stack,
                         const int32_t *ids, const int32_t *types, const int32_t *positions,
                         int32_t count) {
    const eet_stack_facts *s = &sample->facts.stack[stack];
    const char *root = stack == EET_DEC ? "dec." : "enc.";
    const int64_t size = (int64_t)count * s->hidden;
    double *x = embed(model, s, root, ids, types, positions, count);

    if (s->emb_norm) {
        norm(model, root, "emb.norm", s->norm_eps, x, count);
    }
    for (int layer = 0; layer < s->layers; ++layer) {
        char prefix[32];

        (void)snprintf(prefix, sizeof prefix, "%s%04d.", root, layer);
        for (int part = 0; part < 2; ++part) {
            const char *which = part == 1 ? "ffn.norm" : "attn.norm";
            double *input = copy(x, size);

            if (s->pre_norm) {
                norm(model, prefix, which, s->norm_eps, input, count);
            }
            add_and_free(x, sublayer(model, s, stack, prefix, layer, input, count, part == 1),
                         size);
            free(input);
            if (!s->pre_norm) {
                norm(model, prefix, which, s->norm_eps, x, count);
            }
        }
    }
    if (s->final_norm) {
        norm(model, root, "norm", s->norm_eps, x, count);
    }
    return x;
}

double *eet_plain_head(const eet_model *model, const eet_sample_model *sample, int32_t head,
                       const double *hidden) {
    const eet_head_facts *f = &sample->facts.head[head];
    const eet_stack_facts *s = &sample->facts.stack[f->stack];
    int64_t width = s->hidden;
    double *x = copy(hidden, width);
    double length = 0.0;
    char prefix[64];

    (void)snprintf(prefix, sizeof prefix, "head.%s.", f->name);
    if (sample->head[head].dense > 0) {
        double *y = linear(model, prefix, "dense", x, 1, &width);

        free(x);
        x = y;
        for (int64_t i = 0; i < width; ++i) {
            x[i] = activation(f->act, x[i]);
        }
    }
    if (sample->head[head].norm) {
        norm(model, prefix, "norm", s->norm_eps, x, 1);
    }
    if (sample->head[head].tied || sample->head[head].out > 0) {
        double *y = linear(model, prefix, "out", x, 1, &width);

        free(x);
        x = y;
    }
    for (int64_t i = 0; i < width; ++i) {
        length += x[i] * x[i];
    }
    for (int64_t i = 0; i < width && f->normalize; ++i) {
        x[i] /= sqrt(length);
    }
    return x;
}
