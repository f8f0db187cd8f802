/* bind.c - puts the tensors of a file into the fields of a model, by table. Matrices are
 * used where they lie; norms and biases, which are small, become f32. */
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/arena.h"
#include "engine/device.h"
#include "engine/model.h"
#include "format/slots.h"

/* A place in the model: which slot goes to which field of its struct. */
typedef struct binding {
    int slot;
    size_t offset;
} binding;

static const binding layer_linears[] = {
    {EET_SLOT_ATTN_QKV, offsetof(eet_layer_weights, qkv)},
    {EET_SLOT_ATTN_OUT, offsetof(eet_layer_weights, attn_out)},
    {EET_SLOT_CROSS_Q, offsetof(eet_layer_weights, cross_q)},
    {EET_SLOT_CROSS_KV, offsetof(eet_layer_weights, cross_kv)},
    {EET_SLOT_CROSS_OUT, offsetof(eet_layer_weights, cross_out)},
    {EET_SLOT_FFN_FC1, offsetof(eet_layer_weights, fc1)},
    {EET_SLOT_FFN_FC2, offsetof(eet_layer_weights, fc2)},
};
static const binding layer_norms[] = {
    {EET_SLOT_ATTN_NORM, offsetof(eet_layer_weights, attn_norm)},
    {EET_SLOT_CROSS_NORM, offsetof(eet_layer_weights, cross_norm)},
    {EET_SLOT_FFN_NORM, offsetof(eet_layer_weights, ffn_norm)},
};
static const binding stack_tables[] = {
    {EET_SLOT_EMB_TOK, offsetof(eet_stack, token)},
    {EET_SLOT_EMB_POS, offsetof(eet_stack, position)},
    {EET_SLOT_EMB_TYPE, offsetof(eet_stack, type)},
};
static const binding stack_linears[] = {
    {EET_SLOT_EMB_PROJ_IN, offsetof(eet_stack, proj_in)},
};
static const binding stack_norms[] = {
    {EET_SLOT_EMB_NORM, offsetof(eet_stack, emb_norm)},
    {EET_SLOT_NORM, offsetof(eet_stack, final_norm)},
};
static const binding head_linears[] = {
    {EET_SLOT_HEAD_DENSE, offsetof(eet_head, dense)},
    {EET_SLOT_HEAD_OUT, offsetof(eet_head, out)},
};
static const binding head_norms[] = {
    {EET_SLOT_HEAD_NORM, offsetof(eet_head, norm)},
};
#define COUNT(table) ((int)(sizeof(table) / sizeof(table)[0]))

typedef struct binder {
    eet_model *model;
    eet_arena arena;
    char *staged; /* the arena's bytes on the host, until they are uploaded */
    eet_group group;
    int32_t layer;
    double eps;
    eet_error *err;
    eet_status status;
} binder;

static bool is_float(int32_t dtype) {
    return dtype == EET_F32 || dtype == EET_F16 || dtype == EET_BF16;
}

static bool find_tensor(binder *b, int slot, bool bias, eet_file_tensor *out) {
    if (b->status != EET_OK ||
        !eet_file_tensor_bound(b->model->file, eet_role(b->group, slot, bias), b->layer, out)) {
        return false;
    }
    if (!is_float(out->dtype)) {
        b->status = eet_fail(b->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                             "%s is %s; this version computes with f32, f16 and bf16", out->name,
                             eet_dtype_name((eet_dtype)out->dtype));
        return false;
    }
    if (out->layout != 0) {
        b->status = eet_fail(b->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                             "%s has layout %u; this version reads row-major tensors", out->name,
                             out->layout);
        return false;
    }
    for (int32_t i = 0; i < out->rank; ++i) {
        if (out->dims[i] < 1 || out->dims[i] > INT32_MAX) {
            b->status = eet_fail(b->err, EET_E_LIMIT, EET_NOWHERE,
                                 "%s has %llu elements in a dimension; 1 to %d are possible",
                                 out->name, (unsigned long long)out->dims[i], INT32_MAX);
            return false;
        }
    }
    return true;
}

/* A vector in f32, or NULL where the file has none. */
static const float *bind_vector(binder *b, int slot, bool bias) {
    eet_file_tensor tensor;

    if (!find_tensor(b, slot, bias, &tensor)) {
        return NULL;
    }
    float *widened = eet_arena_take(&b->arena, tensor.dims[0], sizeof *widened);
    const eet_convert_args args = {
        .x = tensor.data,
        .y = widened != NULL ? b->staged + ((char *)widened - b->arena.base) : NULL,
        .count = (int64_t)tensor.dims[0],
        .from = tensor.dtype,
        .to = EET_F32,
    };

    if (widened != NULL) {
        b->status = eet_convert_ref(NULL, &args);
    }
    return widened;
}

static void bind_matrix(binder *b, int slot, eet_matrix *out) {
    eet_file_tensor tensor;

    if (find_tensor(b, slot, false, &tensor) && b->arena.base != NULL) {
        b->status = eet_model_place(b->model, &tensor, out, b->err);
    }
}

static void *field(void *base, const binding *place) {
    return (char *)base + place->offset;
}

static void bind_linears(binder *b, void *base, const binding *places, int count) {
    for (int i = 0; i < count; ++i) {
        eet_linear *linear = field(base, &places[i]);

        bind_matrix(b, places[i].slot, &linear->w);
        linear->bias = bind_vector(b, places[i].slot, true);
    }
}

static void bind_norms(binder *b, void *base, const binding *places, int count) {
    for (int i = 0; i < count; ++i) {
        eet_norm_weights *norm = field(base, &places[i]);

        norm->weight = bind_vector(b, places[i].slot, false);
        norm->bias = bind_vector(b, places[i].slot, true);
        norm->eps = b->eps;
    }
}

static eet_stack stack_of(const eet_stack_facts *f, bool causal) {
    return (eet_stack){
        .layers = f->layers,
        .heads = f->heads,
        .head_dim = f->head_dim,
        .hidden = f->hidden,
        .ffn = f->ffn,
        .act = f->act,
        .pre_norm = f->pre_norm,
        .causal = causal,
        .inv_layer_scale = f->inv_layer_scale,
        .pos_skip_pad = f->pos_skip_pad,
        .attn_scale = f->attn_scale,
        .emb_scale = f->emb_scale,
        .emb_dim = f->emb_dim,
        .pos_rows = f->pos_rows,
        .types = f->types,
        .type_default = f->type_default,
        .vocab_size = f->vocab_size,
        .vocab_rows = f->vocab_rows,
        .tok_pad = f->tok_pad,
    };
}

/* What all of a stack's layers have, else f32. */
static int32_t dtype_of_layers(const eet_stack *stack) {
    const int32_t dtype = stack->layer[0].qkv.w.dtype;

    for (int32_t i = 0; i < stack->layers; ++i) {
        for (int j = 0; j < COUNT(layer_linears); ++j) {
            const eet_linear *linear =
                (const void *)((const char *)&stack->layer[i] + layer_linears[j].offset);

            if (linear->w.data != NULL && linear->w.dtype != dtype) {
                return EET_F32;
            }
        }
    }
    return dtype;
}

/* As the backend wants activations beside these weights. */
static void choose_dtypes(const eet_model *model, eet_stack *stack) {
    stack->inner = model->api->inner(model->backend, dtype_of_layers(stack));
    /* Of bf16's 8 bits a sum over many layers would lose too many. */
    stack->stream = stack->pre_norm || stack->inner == EET_BF16 ? 0 : stack->inner;
}

static void bind_stack(binder *b, int32_t which) {
    static const eet_group groups[EET_STACKS] = {EET_GROUP_ENC, EET_GROUP_DEC};
    const eet_stack_facts *facts = &b->model->facts->stack[which];
    eet_stack *stack = &b->model->stack[which];

    *stack = stack_of(facts, which == EET_DEC);
    stack->layer = b->model->layer[which];
    b->group = groups[which];
    b->layer = -1;
    b->eps = facts->norm_eps;
    for (int i = 0; i < COUNT(stack_tables); ++i) {
        bind_matrix(b, stack_tables[i].slot, field(stack, &stack_tables[i]));
    }
    bind_linears(b, stack, stack_linears, COUNT(stack_linears));
    bind_norms(b, stack, stack_norms, COUNT(stack_norms));
    for (int32_t i = 0; i < stack->layers && b->status == EET_OK; ++i) {
        b->layer = i;
        bind_linears(b, &b->model->layer[which][i], layer_linears, COUNT(layer_linears));
        bind_norms(b, &b->model->layer[which][i], layer_norms, COUNT(layer_norms));
    }
    choose_dtypes(b->model, stack);
}

/* The width after the head's parts: each must take what the one before it gives. */
static eet_status check_head(binder *b, int32_t index, const eet_stack *stack) {
    eet_head *head = &b->model->head[index];
    const char *name = b->model->facts->head[index].name;
    eet_file_tensor norm;
    int32_t width = stack->hidden;

    if (head->dense.w.data != NULL) {
        if (head->dense.w.k != width) {
            return eet_fail(b->err, EET_E_CORRUPT, EET_NOWHERE,
                            "head \"%s\" has a dense part for %d values; the stack gives %d", name,
                            (int)head->dense.w.k, (int)width);
        }
        width = head->dense.w.n;
    }
    if (find_tensor(b, EET_SLOT_HEAD_NORM, false, &norm) && norm.dims[0] != (uint64_t)width) {
        return eet_fail(b->err, EET_E_CORRUPT, EET_NOWHERE,
                        "head \"%s\" has a norm for %llu values; it gets %d", name,
                        (unsigned long long)norm.dims[0], (int)width);
    }
    if (head->out.w.data != NULL) {
        if (head->out.w.k != width) {
            return eet_fail(b->err, EET_E_CORRUPT, EET_NOWHERE,
                            "head \"%s\" has an out part for %d values; it gets %d", name,
                            (int)head->out.w.k, (int)width);
        }
        if (head->out.w.n == stack->vocab_rows) {
            head->out.w.n = stack->vocab_size; /* rows that pad the vocabulary never win */
        }
        width = head->out.w.n;
    }
    head->width = width;
    return b->status;
}

/* A head's widths are the file's own, so that nobody has compared a bias with its matrix. */
static eet_status check_head_biases(binder *b) {
    static const int slots[] = {EET_SLOT_HEAD_DENSE, EET_SLOT_HEAD_NORM, EET_SLOT_HEAD_OUT};
    eet_file_tensor weight;
    eet_file_tensor bias;

    for (int i = 0; i < COUNT(slots); ++i) {
        if (find_tensor(b, slots[i], true, &bias) &&
            (!find_tensor(b, slots[i], false, &weight) || bias.dims[0] != weight.dims[0])) {
            return eet_fail(b->err, EET_E_CORRUPT, EET_NOWHERE, "%s does not fit its weight",
                            bias.name);
        }
    }
    return b->status;
}

static void bind_head(binder *b, int32_t index) {
    const eet_head_facts *facts = &b->model->facts->head[index];
    const eet_stack *stack = &b->model->stack[facts->stack];
    eet_head *head = &b->model->head[index];

    b->group = EET_GROUP_HEAD;
    b->layer = index;
    b->eps = b->model->facts->stack[facts->stack].norm_eps;
    *head = (eet_head){.take = facts->take,
                       .act = facts->act,
                       .normalize = facts->normalize,
                       .skip_pad = facts->skip_pad};
    bind_linears(b, head, head_linears, COUNT(head_linears));
    bind_norms(b, head, head_norms, COUNT(head_norms));
    if (b->status == EET_OK && b->arena.base != NULL) {
        b->status = check_head(b, index, stack);
    }
    if (b->status == EET_OK) {
        b->status = check_head_biases(b);
    }
}

static void bind_all(binder *b) {
    const eet_facts *facts = b->model->facts;

    for (int32_t s = 0; s < EET_STACKS && b->status == EET_OK; ++s) {
        if (facts->stack[s].present) {
            bind_stack(b, s);
        }
    }
    for (int32_t i = 0; i < facts->heads && b->status == EET_OK; ++i) {
        bind_head(b, i);
    }
}

static eet_status make_layers(eet_model *model, eet_error *err) {
    for (int32_t s = 0; s < EET_STACKS; ++s) {
        const eet_stack_facts *facts = &model->facts->stack[s];

        if (facts->present) {
            model->layer[s] = calloc((size_t)facts->layers, sizeof *model->layer[s]);
            if (model->layer[s] == NULL) {
                return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %d layers",
                                (int)facts->layers);
            }
        }
    }
    return EET_OK;
}

/* Fills the fields; norms and biases are widened on the host, then uploaded in one piece. */
static eet_status fill(eet_model *model, uint64_t bytes, eet_error *err) {
    binder bind = {.model = model, .err = err, .arena = {.base = model->widened}};

    bind.staged = malloc((size_t)bytes);
    if (bind.staged == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes of biases",
                        (unsigned long long)bytes);
    }
    bind_all(&bind);
    if (bind.status == EET_OK) {
        bind.status = model->api->upload(model->backend, model->widened, bind.staged, bytes);
        if (bind.status == EET_OK) { /* matrices, too, may be on their way until then */
            bind.status = model->api->sync(model->backend);
        }
        if (bind.status != EET_OK) {
            (void)eet_fail(err, bind.status, EET_NOWHERE, "the weights do not reach %s:%d: %s",
                           model->api->name, (int)model->device_index,
                           model->api->why(model->backend));
        }
    }
    model->weight_bytes += bytes;
    free(bind.staged);
    return bind.status;
}

static eet_status fail_for_memory(const eet_model *model, uint64_t bytes, eet_error *err) {
    const eet_backend_memory memory = model->api->memory(model->backend);

    if (eet_device_denied(model->api, model->backend) != EET_E_MEMORY) {
        return eet_device_fail(model->api, model->backend, model->device_index, err);
    }
    if (model->device == EET_HOST) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes of biases",
                        (unsigned long long)bytes);
    }
    return eet_fail(
        err, EET_E_MEMORY, EET_NOWHERE,
        "no memory on %s:%d for %llu bytes of norms and biases, before %llu of weights; "
        "%llu of %llu are free",
        model->api->name, (int)model->device_index, (unsigned long long)bytes,
        (unsigned long long)eet_model_file_bytes(model), (unsigned long long)memory.unused,
        (unsigned long long)memory.all);
}

eet_status eet_model_bind(eet_model *model, eet_error *err) {
    binder measure = {.model = model, .err = err, .status = make_layers(model, err)};

    bind_all(&measure);
    if (measure.status != EET_OK) {
        return measure.status;
    }
    if (measure.arena.too_large) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "the norms and biases are too large");
    }
    model->placed = calloc((size_t)eet_file_tensors(model->file) + 1, sizeof *model->placed);
    model->widened = model->api->alloc(model->backend, measure.arena.peak + 1);
    if (model->placed == NULL || model->widened == NULL) {
        return fail_for_memory(model, measure.arena.peak, err);
    }
    return fill(model, measure.arena.peak + 1, err);
}

void eet_model_unbind(eet_model *model) {
    eet_model_unplace(model);
    for (int32_t s = 0; s < EET_STACKS; ++s) {
        free(model->layer[s]);
        model->layer[s] = NULL;
    }
    if (model->backend != NULL) {
        model->api->free(model->backend, model->widened);
    }
    model->widened = NULL;
}
