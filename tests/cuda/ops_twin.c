/* ops_twin.c - arrays of a call on a CUDA device and back. */
#define OPS_TWIN_ITSELF
#include "tests/cuda/ops_twin.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device.h"
#include "format/types.h"

/* Where an operator's struct has arrays, and which of them it writes. */
typedef struct place {
    size_t at;
    bool written;
} place;

typedef struct kind {
    eet_status (*call)(eet_op_context *, const void *, eet_error *);
    size_t bytes;
    const place *place;
    int32_t places;
} kind;

#define AT(type, field) \
    { offsetof(type, field), false }
#define WRITTEN(type, field) \
    { offsetof(type, field), true }
#define COUNT(list) ((int32_t)(sizeof(list) / sizeof((list)[0])))

static const place attention[] = {
    AT(eet_attention_op, x),
    WRITTEN(eet_attention_op, y),
    AT(eet_attention_op, norm.weight),
    AT(eet_attention_op, norm.bias),
    AT(eet_attention_op, query.weight),
    AT(eet_attention_op, query.bias),
    AT(eet_attention_op, key.weight),
    AT(eet_attention_op, key.bias),
    AT(eet_attention_op, value.weight),
    AT(eet_attention_op, value.bias),
    AT(eet_attention_op, out.weight),
    AT(eet_attention_op, out.bias),
    AT(eet_attention_op, mask.allowed),
    AT(eet_attention_op, mask.added),
    WRITTEN(eet_attention_op, keys),
    WRITTEN(eet_attention_op, values),
    AT(eet_attention_op, memory),
};
static const place ffn[] = {
    AT(eet_ffn_op, x),          WRITTEN(eet_ffn_op, y),     AT(eet_ffn_op, norm.weight),
    AT(eet_ffn_op, norm.bias),  AT(eet_ffn_op, fc1.weight), AT(eet_ffn_op, fc1.bias),
    AT(eet_ffn_op, fc2.weight), AT(eet_ffn_op, fc2.bias),
};
static const place embedding[] = {
    /* types stay on the host, as they may */
    AT(eet_embedding_op, ids),       AT(eet_embedding_op, positions),
    AT(eet_embedding_op, token),     AT(eet_embedding_op, position),
    AT(eet_embedding_op, type),      AT(eet_embedding_op, norm.weight),
    AT(eet_embedding_op, norm.bias), WRITTEN(eet_embedding_op, y),
};
static const place layernorm[] = {
    AT(eet_layernorm_op, x),
    WRITTEN(eet_layernorm_op, y),
    AT(eet_layernorm_op, norm.weight),
    AT(eet_layernorm_op, norm.bias),
};

#define CALL(name, type)                                                                 \
    static eet_status call_##name(eet_op_context *c, const void *args, eet_error *err) { \
        return eet_op_##name(c, (const type *)args, err);                                \
    }
CALL(masked_multi_head_attention, eet_attention_op)
CALL(cross_multi_head_attention, eet_attention_op)
CALL(multi_head_attention, eet_attention_op)
CALL(ffn, eet_ffn_op)
CALL(embedding, eet_embedding_op)
CALL(layernorm, eet_layernorm_op)
#undef CALL

static const kind kinds[] = {
    {call_masked_multi_head_attention, sizeof(eet_attention_op), attention, COUNT(attention)},
    {call_cross_multi_head_attention, sizeof(eet_attention_op), attention, COUNT(attention)},
    {call_multi_head_attention, sizeof(eet_attention_op), attention, COUNT(attention)},
    {call_ffn, sizeof(eet_ffn_op), ffn, COUNT(ffn)},
    {call_embedding, sizeof(eet_embedding_op), embedding, COUNT(embedding)},
    {call_layernorm, sizeof(eet_layernorm_op), layernorm, COUNT(layernorm)},
};

typedef union any {
    struct {
        uint32_t size;
        int32_t first;
        void *workspace;
        uint64_t bytes;
    } begin;
    eet_attention_op attention;
    eet_embedding_op embedding;
    char raw[sizeof(eet_attention_op)];
} any;

enum { MOST = 20, PAST = 8 }; /* arrays; a workspace need not be aligned */

/* Memory of a call that is on both sides. */
typedef struct block {
    void *host, *device;
    uint64_t bytes;
    bool written;
} block;

static const eet_backend_api *api;
static eet_backend *backend;

bool lab_device_there(void) {
    eet_error error = {0};
    const eet_backend_options options = {.error = &error};

    (void)setenv("CK_FORK", "no", 1);
    if (eet_device_find(EET_CUDA, &api, &error) != EET_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(EXIT_FAILURE); /* a backend that is not there is no reason to skip */
    }
    if (api->open(&options, &backend) != EET_OK) {
        (void)printf("skipped: no CUDA device (%s)\n", error.text);
        return false;
    }
    return true;
}

static eet_array *array_at(any *args, size_t at) {
    return (eet_array *)(void *)(args->raw + at);
}

static bool lies_there(const eet_array *array) {
    return array->size != 0 && array->data != NULL;
}

/* From the first element to the end of the last; strides are not negative here. */
static uint64_t bytes_of(const eet_array *a) {
    int64_t last = 0;
    int64_t step = 1;
    bool given = false;

    for (int32_t i = 0; i < a->rank; ++i) {
        given = given || a->stride[i] != 0;
    }
    for (int32_t i = a->rank - 1; i >= 0; --i) {
        if (a->shape[i] == 0) {
            return 0;
        }
        last += (a->shape[i] - 1) * (given ? a->stride[i] : step);
        step *= a->shape[i];
    }
    return (uint64_t)(last + 1) * eet_dtype_bits((eet_dtype)a->dtype) / 8;
}

/* Arrays of one address are one array. */
static void note(block *blocks, int32_t *count, const eet_array *array, bool written) {
    const uint64_t bytes = bytes_of(array);
    int32_t i = 0;

    while (i < *count && blocks[i].host != array->data) {
        ++i;
    }
    *count += i == *count ? 1 : 0;
    blocks[i].host = array->data;
    blocks[i].bytes = bytes > blocks[i].bytes ? bytes : blocks[i].bytes;
    blocks[i].written = blocks[i].written || written;
}

static eet_status send(block *one) {
    one->device = api->alloc(backend, one->bytes + 1);
    return one->device == NULL ? EET_E_MEMORY
                               : api->upload(backend, one->device, one->host, one->bytes);
}

static void *found(const block *blocks, int32_t count, const void *host) {
    for (int32_t i = 0; i < count; ++i) {
        if (blocks[i].host == host) {
            return blocks[i].device;
        }
    }
    return NULL;
}

static any marked(const kind *k, const void *args) {
    any copy;

    memset(&copy, 0, sizeof copy);
    memcpy(&copy, args, k->bytes);
    for (int32_t i = 0; i < k->places; ++i) {
        eet_array *array = array_at(&copy, k->place[i].at);

        array->memory = array->size != 0 ? EET_CUDA : array->memory;
    }
    return copy;
}

eet_status twin_workspace(eet_op_context *context, int32_t op, const void *args, uint64_t *bytes,
                          eet_error *err) {
    const any copy = marked(&kinds[op - 1], args);

    return eet_op_workspace(context, op, &copy, bytes, err);
}

eet_status twin_call(eet_op_context *context, int32_t op, const void *args, eet_error *err) {
    const kind *k = &kinds[op - 1];
    any copy = marked(k, args);
    block blocks[MOST] = {{0}};
    int32_t count = 0;
    eet_status status = EET_OK;
    char *workspace = api->alloc(backend, copy.begin.bytes + PAST);

    for (int32_t i = 0; i < k->places; ++i) {
        const eet_array *array = array_at(&copy, k->place[i].at);

        if (lies_there(array)) {
            note(blocks, &count, array, k->place[i].written);
        }
    }
    for (int32_t i = 0; i < count && status == EET_OK; ++i) {
        status = send(&blocks[i]);
    }
    for (int32_t i = 0; i < k->places; ++i) {
        eet_array *array = array_at(&copy, k->place[i].at);

        array->data = lies_there(array) ? found(blocks, count, array->data) : array->data;
    }
    copy.begin.workspace = copy.begin.bytes > 0 ? workspace + PAST : NULL;
    status = status == EET_OK ? api->sync(backend) : status; /* another stream than the context's */
    status = status == EET_OK ? k->call(context, &copy, err) : status;
    for (int32_t i = 0; i < count; ++i) {
        if (status == EET_OK && blocks[i].written) {
            status = api->download(backend, blocks[i].host, blocks[i].device, blocks[i].bytes);
        }
        api->free(backend, blocks[i].device);
    }
    api->free(backend, workspace);
    return status;
}
