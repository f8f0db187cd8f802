/* torch_tensors.c - what torch's rebuild functions would make of their arguments. */
#include <string.h>

#include "converter/torch_internal.h"
#include "format/checked.h"

enum { MAX_WRAPPED = 64 };

typedef enum rebuild_kind {
    REBUILD_PLAIN,  /* (storage, offset, size, stride, ...) */
    REBUILD_WRAP,   /* (tensor, ...): a Parameter */
    REBUILD_TYPE,   /* (function, type, arguments, state): a subclass */
    REBUILD_REFUSED /* needs more than a storage and strides */
} rebuild_kind;

typedef struct rebuild {
    const char *module, *name; /* name NULL: anything below the module */
    rebuild_kind kind;
    uint32_t least, most;     /* arguments */
    uint32_t hooks, metadata; /* which argument it is; 0: none */
    uint32_t dtype;           /* likewise */
    uint32_t state;
    const char *refusal;
} rebuild;

#define UTILS   "torch._utils"
#define NO_DATA "it has no data (a meta tensor)"

static const rebuild table[] = {
    {UTILS, "_rebuild_tensor", REBUILD_PLAIN, 4, 4, 0, 0, 0, 0, NULL},
    {UTILS, "_rebuild_tensor_v2", REBUILD_PLAIN, 6, 7, 5, 6, 0, 0, NULL},
    {UTILS, "_rebuild_tensor_v3", REBUILD_PLAIN, 7, 8, 5, 7, 6, 0, NULL},
    {UTILS, "_rebuild_parameter", REBUILD_WRAP, 3, 3, 2, 0, 0, 0, NULL},
    {UTILS, "_rebuild_parameter_with_state", REBUILD_WRAP, 4, 4, 2, 0, 0, 3, NULL},
    {"torch.nn.parameter", "Parameter", REBUILD_WRAP, 1, 2, 0, 0, 0, 0, NULL},
    {"torch._tensor", "_rebuild_from_type_v2", REBUILD_TYPE, 4, 4, 0, 0, 0, 3, NULL},
    {"torch._tensor", "_rebuild_from_type", REBUILD_TYPE, 4, 4, 0, 0, 0, 3, NULL},
    {"torch.tensor", "_rebuild_from_type", REBUILD_TYPE, 4, 4, 0, 0, 0, 3, NULL},
    {UTILS, "_rebuild_qtensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, "it is quantised"},
    {UTILS, "_rebuild_sparse_tensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, "it is sparse"},
    {UTILS, "_rebuild_sparse_csr_tensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, "it is sparse"},
    {UTILS, "_rebuild_nested_tensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, "it is a nested tensor"},
    {UTILS, "_rebuild_meta_tensor_no_storage", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, NO_DATA},
    {UTILS, "_rebuild_wrapper_subclass", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0,
     "it is a tensor subclass without plain data"},
    {UTILS, "_rebuild_device_tensor_from_numpy", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0,
     "its data is a numpy array, of another device"},
    {UTILS, "_rebuild_device_tensor_from_cpu_tensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0,
     "it is of another device"},
    {UTILS, "_rebuild_xla_tensor", REBUILD_REFUSED, 0, 0, 0, 0, 0, 0, "it is of an XLA device"},
    {UTILS, NULL, REBUILD_REFUSED, 0, 0, 0, 0, 0, 0,
     "it is made by a function of torch that is not known"},
    {"torch.distributed", NULL, REBUILD_REFUSED, 0, 0, 0, 0, 0, 0,
     "it is one part of a tensor spread over processes"},
};

static const rebuild *rebuild_of(const eet_pickle_node *function) {
    const char *module = eet_pickle_module(function);

    for (size_t i = 0; module != NULL && i < sizeof table / sizeof table[0]; i++) {
        const size_t bytes = strlen(table[i].module);
        const bool below =
            strncmp(module, table[i].module, bytes) == 0 && strchr(".", module[bytes]) != NULL;

        if (table[i].name == NULL
                ? below
                : eet_pickle_is_global(function, table[i].module, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

bool eet_torch_is_tensor(const eet_pickle_node *value) {
    const eet_pickle_node *function = eet_pickle_callable(value);

    return function != NULL && rebuild_of(function) != NULL;
}

static eet_status malformed(eet_error *err, const char *what) {
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "%s", what);
}

static bool is_container(const eet_pickle_node *node) {
    const eet_pickle_kind kind = eet_pickle_kind_of(node);

    return kind == EET_PICKLE_TUPLE || kind == EET_PICKLE_LIST;
}

/* A tuple of numbers >= 0, or torch.Size of one. */
static eet_status read_lengths(const eet_pickle_node *node, uint64_t out[EET_SOURCE_MAX_RANK],
                               int32_t *rank, eet_error *err) {
    const eet_pickle_node *class = eet_pickle_callable(node);

    if (class != NULL && eet_pickle_is_global(class, "torch", "Size") &&
        eet_pickle_count(eet_pickle_arguments(node)) == 1) {
        node = eet_pickle_item(eet_pickle_arguments(node), 0);
    }
    if (!is_container(node)) {
        return malformed(err, "its size or stride is no tuple");
    }
    if (eet_pickle_count(node) > EET_SOURCE_MAX_RANK) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "it has %u dimensions; 0 to %d are allowed", eet_pickle_count(node),
                        EET_SOURCE_MAX_RANK);
    }
    *rank = (int32_t)eet_pickle_count(node);
    for (int32_t i = 0; i < *rank; i++) {
        int64_t value = 0;

        if (!eet_pickle_int(eet_pickle_item(node, (uint32_t)i), &value)) {
            return malformed(err, "its size or stride is no tuple of integers");
        }
        if (value < 0) {
            return malformed(err, "its size or stride is negative");
        }
        out[i] = (uint64_t)value;
    }
    return EET_OK;
}

/* Which type the elements are of: the storage's, or the one that version 3 names. */
static const eet_torch_type *type_of(const rebuild *r, const eet_pickle_node *arguments) {
    return r->dtype == 0 ? eet_torch_storage_type(eet_pickle_item(eet_pickle_item(arguments, 0), 1))
                         : eet_torch_dtype(eet_pickle_item(arguments, r->dtype));
}

/* Why a tensor of these cannot be read; NULL when it can. */
static const char *refusal_of(const eet_torch *torch, const eet_torch_type *type,
                              const eet_torch_storage *storage, const eet_pickle_node *id) {
    if (eet_pickle_is_text(eet_pickle_item(id, 3), "meta")) {
        return NO_DATA;
    }
    if (storage->type->refusal != NULL) {
        return storage->type->refusal;
    }
    if (type->refusal != NULL) {
        return type->refusal;
    }
    if (storage->type->dtype != type->dtype && !eet_torch_is_untyped(storage->type)) {
        return "it reads its storage as another dtype";
    }
    if (torch->swapped && type->swap > 1 && storage->type->swap == 1) {
        return "its storage has no dtype in a big-endian file, where that gives the byte order";
    }
    return NULL;
}

/* Does a tensor end within `room` elements from its offset? */
static bool fits(const eet_source_tensor *tensor, uint64_t room) {
    uint64_t last = tensor->offset;
    uint64_t step = 0;

    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] == 0) {
            return true;
        }
        if (!eet_mul_u64(tensor->shape[i] - 1, tensor->stride[i], &step) ||
            !eet_add_u64(last, step, &last)) {
            return false;
        }
    }
    return last < room;
}

/* A storage of before torch 1.6 may be a part of another one, (key, offset, elements): the
 * tensor's offset is in the part. */
static eet_status move_into_view(const eet_pickle_node *id, uint64_t offset, eet_source_tensor *out,
                                 eet_error *err) {
    const eet_pickle_node *view = eet_pickle_count(id) > 5 ? eet_pickle_item(id, 5) : NULL;
    int64_t start = 0;
    int64_t length = 0;
    int64_t elements = 0;
    uint64_t end = 0;

    out->offset = offset;
    if (view == NULL || eet_pickle_kind_of(view) == EET_PICKLE_NONE) {
        return EET_OK;
    }
    if (!is_container(view) || eet_pickle_count(view) != 3 ||
        eet_pickle_kind_of(eet_pickle_item(view, 0)) != EET_PICKLE_TEXT ||
        !eet_pickle_int(eet_pickle_item(view, 1), &start) || start < 0 ||
        !eet_pickle_int(eet_pickle_item(view, 2), &length) || length < 0) {
        return malformed(err, "its storage is a view that is not (key, offset, elements)");
    }
    (void)eet_pickle_int(eet_pickle_item(id, 4), &elements); /* eet_torch_collect has checked it */
    if (!eet_add_u64((uint64_t)start, (uint64_t)length, &end) || end > (uint64_t)elements) {
        return malformed(err, "its storage is a view that reaches past the end of its base");
    }
    if (!fits(out, (uint64_t)length)) {
        return malformed(err, "it reaches past the end of its view of a storage");
    }
    out->offset += (uint64_t)start; /* below 2^63 each */
    return EET_OK;
}

/* (storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata]) */
static eet_status rebuild_plain(eet_torch *torch, const rebuild *r,
                                const eet_pickle_node *arguments, eet_source_tensor *out,
                                eet_error *err) {
    const eet_pickle_node *id = eet_pickle_item(arguments, 0);
    int32_t strides = 0;
    int64_t offset = 0;
    uint64_t key = 0;
    uint32_t bytes = 0;

    if (eet_pickle_kind_of(id) != EET_PICKLE_STORAGE) {
        return malformed(err, "it is made of something that is no storage");
    }
    if (!eet_pickle_int(eet_pickle_item(arguments, 1), &offset) || offset < 0) {
        return malformed(err, "its offset is no integer from 0 up");
    }
    eet_status status = read_lengths(eet_pickle_item(arguments, 2), out->shape, &out->rank, err);

    if (status == EET_OK) {
        status = read_lengths(eet_pickle_item(arguments, 3), out->stride, &strides, err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (strides != out->rank) {
        return malformed(err, "its size and its stride are not equally long");
    }
    status = move_into_view(id, (uint64_t)offset, out, err);
    if (status != EET_OK) {
        return status;
    }
    const char *text = eet_pickle_text(eet_pickle_item(id, 2), &bytes);

    (void)eet_torch_parse_key(text, bytes, &key); /* eet_torch_collect has checked it */
    out->storage = eet_torch_find_storage(torch, key);
    const eet_torch_storage *storage = &torch->storage[out->storage];
    const eet_torch_type *type = type_of(r, arguments);

    if (type == NULL) {
        return malformed(err, "its dtype is no dtype of torch");
    }
    out->dtype = type->dtype;
    out->refusal = refusal_of(torch, type, storage, id);
    if (out->dtype == EET_SRC_BOOL) {
        torch->storage[out->storage].is_bool = true;
    }
    return EET_OK;
}

static bool is_empty(const eet_pickle_node *node) {
    return eet_pickle_kind_of(node) == EET_PICKLE_NONE ||
           (eet_pickle_kind_of(node) == EET_PICKLE_DICT && eet_pickle_count(node) == 0);
}

/* Counts what is left out of a tensor; bits that change its values are refused. */
static void look_at_extras(eet_torch *torch, const rebuild *r, const eet_pickle_node *arguments,
                           eet_source_tensor *out) {
    const uint32_t count = eet_pickle_count(arguments);

    if (r->hooks != 0 && r->hooks < count && !is_empty(eet_pickle_item(arguments, r->hooks))) {
        torch->hooks++;
    }
    if (r->state != 0 && !is_empty(eet_pickle_item(arguments, r->state))) {
        torch->states++;
    }
    if (r->metadata != 0 && r->metadata < count &&
        !is_empty(eet_pickle_item(arguments, r->metadata))) {
        out->refusal = "it is a conjugated or negated view";
    }
}

eet_status eet_torch_rebuild(eet_torch *torch, const eet_pickle_node *value, eet_source_tensor *out,
                             eet_error *err) {
    const eet_pickle_node *function = eet_pickle_callable(value);
    const eet_pickle_node *arguments = eet_pickle_arguments(value);
    const char *refusal = NULL;

    *out = (eet_source_tensor){.dtype = EET_SRC_OTHER, .storage = -1};
    for (int depth = 0; depth < MAX_WRAPPED; depth++) {
        const rebuild *r = function == NULL ? NULL : rebuild_of(function);

        if (r == NULL || eet_pickle_kind_of(arguments) != EET_PICKLE_TUPLE) {
            return malformed(err, "it is made of something that is no tensor");
        }
        if (r->kind == REBUILD_REFUSED) {
            out->refusal = r->refusal;
            return EET_OK;
        }
        if (eet_pickle_count(arguments) < r->least || eet_pickle_count(arguments) > r->most) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "it is made by %s of %u arguments",
                            r->name, eet_pickle_count(arguments));
        }
        look_at_extras(torch, r, arguments, out);
        refusal = refusal == NULL ? out->refusal : refusal;
        if (r->kind == REBUILD_PLAIN) {
            const eet_status status = rebuild_plain(torch, r, arguments, out, err);

            out->refusal = out->refusal == NULL ? refusal : out->refusal;
            return status;
        }
        const eet_pickle_node *inner = eet_pickle_item(arguments, 0);

        function = r->kind == REBUILD_TYPE ? inner : eet_pickle_callable(inner);
        arguments =
            r->kind == REBUILD_TYPE ? eet_pickle_item(arguments, 2) : eet_pickle_arguments(inner);
    }
    return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "it is wrapped more than %d times", MAX_WRAPPED);
}
