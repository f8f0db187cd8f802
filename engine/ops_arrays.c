/* ops_arrays.c - the caller's arrays, checked, and to and from f32. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/ops.h"
#include "format/types.h"

bool eet_op_given(const eet_array *array) {
    return array->size != 0 || array->data != NULL;
}

/* "(2, 3)" */
static void spell_shape(const eet_op_view *view, char text[160]) {
    int at = snprintf(text, 160, "(");

    for (int32_t i = 0; i < view->rank; ++i) {
        at += snprintf(text + at, (size_t)(160 - at), i > 0 ? ", %lld" : "%lld",
                       (long long)view->shape[i]);
    }
    (void)snprintf(text + at, (size_t)(160 - at), ")");
}

eet_status eet_op_misfit(const eet_op_job *job, const eet_op_view *view, const char *wanted, ...) {
    char shape[160];
    char words[200];
    va_list list;

    va_start(list, wanted);
    (void)vsnprintf(words, sizeof words, wanted, list);
    va_end(list);
    spell_shape(view, shape);
    return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "%s is %s; %s", view->name, shape,
                    words);
}

static bool is_kind(int32_t dtype, eet_op_kind kind) {
    switch (kind) {
    case EET_OP_BYTES:
        return dtype == EET_U8;
    case EET_OP_IDS:
        return dtype == EET_I32 || dtype == EET_I64;
    default:
        return eet_is_float(dtype);
    }
}

static eet_status check_dtype(const eet_op_job *job, const char *name, int32_t dtype,
                              eet_op_kind kind) {
    static const char *const wanted[] = {"f32, f16 or bf16", "u8", "i32 or i64"};
    const char *is = eet_dtype_name((eet_dtype)dtype);

    if (is_kind(dtype, kind)) {
        return EET_OK;
    }
    return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "%s is %s; it has to be %s", name,
                    is != NULL ? is : "of no dtype", wanted[kind]);
}

/* Row-major strides in place of all zeros; false when the numbers overflow. */
static bool read_shape(const eet_array *array, eet_op_view *v) {
    bool given = false;
    int64_t reach = 0;
    int64_t next = 1;

    v->count = 1;
    v->dense = true;
    for (int32_t i = 0; i < v->rank; ++i) {
        v->shape[i] = array->shape[i];
        given = given || array->stride[i] != 0;
        if (v->shape[i] < 0 || __builtin_mul_overflow(v->count, v->shape[i], &v->count)) {
            return false;
        }
    }
    for (int32_t i = v->rank - 1; i >= 0; --i) {
        int64_t span = 0;

        v->stride[i] = given ? array->stride[i] : next;
        v->dense = v->dense && (v->stride[i] == next || v->shape[i] <= 1);
        if (array->stride[i] == INT64_MIN ||
            __builtin_mul_overflow(v->stride[i] < 0 ? -v->stride[i] : v->stride[i],
                                   v->shape[i] > 0 ? v->shape[i] - 1 : 0, &span) ||
            __builtin_add_overflow(reach, span, &reach) ||
            __builtin_mul_overflow(next, v->shape[i] > 1 ? v->shape[i] : 1, &next)) {
            return false;
        }
    }
    return reach < INT64_MAX / 8 && v->count < INT64_MAX / 8;
}

static eet_status check_memory(const eet_op_job *job, const eet_array *array, const eet_op_view *v,
                               eet_op_kind kind) {
    const char *name = v->name;
    const uint32_t bytes = eet_dtype_bytes((eet_dtype)v->dtype);

    if (array->memory != job->context->memory &&
        (array->memory != EET_HOST || kind != EET_OP_IDS)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s is not in the memory of the context's device", name);
    }
    if (v->count > 0 && array->data == NULL) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "%s has no data", name);
    }
    if ((uintptr_t)array->data % bytes != 0) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s is not aligned to its elements of %u bytes", name, bytes);
    }
    return EET_OK;
}

eet_status eet_op_look(const eet_op_job *job, const eet_array *array, const char *name,
                       eet_op_kind kind, eet_op_view *out) {
    *out = (eet_op_view){
        .name = name, .data = array->data, .dtype = array->dtype, .memory = array->memory};
    if (!eet_op_given(array)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "there is no %s", name);
    }
    if (array->size != sizeof(eet_array)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s.size is %u; put sizeof(eet_array) in it", name, array->size);
    }
    if (array->rank < 0 || array->rank > EET_MAX_RANK) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "%s has rank %d; 0 to %d exist",
                        name, (int)array->rank, EET_MAX_RANK);
    }
    out->rank = array->rank;
    const eet_status status = check_dtype(job, name, array->dtype, kind);

    if (status != EET_OK) {
        return status;
    }
    if (!read_shape(array, out)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s has a shape or strides that no memory can have", name);
    }
    return check_memory(job, array, out, kind);
}

int64_t eet_op_width(const eet_op_view *view) {
    return view->rank > 0 ? view->shape[view->rank - 1] : 0;
}

int64_t eet_op_tokens(const eet_op_view *view) {
    int64_t tokens = 1;

    for (int32_t i = 0; i < view->rank - 1; ++i) {
        tokens *= view->shape[i];
    }
    return tokens;
}

eet_status eet_op_check_rows(const eet_op_job *job, const eet_op_view *view) {
    const int64_t width = eet_op_width(view);

    if (view->rank < 1 || width < 1 || width > EET_OP_MOST || eet_op_tokens(view) > EET_OP_MOST) {
        return eet_op_misfit(job, view,
                             "it has to be (..., width) with a width of 1 to %d and no more "
                             "tokens than that",
                             EET_OP_MOST);
    }
    return EET_OK;
}

float *eet_op_take(eet_op_job *job, int64_t rows, int64_t cols) {
    int64_t count = 0;

    if (__builtin_mul_overflow(rows, cols, &count)) {
        count = INT64_MAX;
    }
    return eet_arena_take(&job->arena, (uint64_t)count, sizeof(float));
}

float *eet_op_take_floats(eet_op_job *job, const eet_op_view *view) {
    if (view->dtype == EET_F32 && view->dense) {
        return view->data;
    }
    return eet_op_take(job, view->count, 1);
}

void *eet_op_take_list(eet_op_job *job, int64_t count, uint64_t bytes) {
    return eet_arena_take(&job->lists, (uint64_t)count, bytes);
}

int32_t *eet_op_copy_list(eet_op_job *job, const int32_t *list, int64_t count) {
    int32_t *copy = list != NULL ? eet_op_take_list(job, count, sizeof *copy) : NULL;

    if (copy != NULL && count > 0) {
        memcpy(copy, list, (size_t)count * sizeof *copy);
    }
    return copy;
}

const void *eet_op_listed(const eet_op_job *job, const void *list) {
    return list != NULL ? job->listed + ((const char *)list - job->lists.base) : NULL;
}

eet_status eet_op_send_lists(const eet_op_job *job) {
    const eet_op_context *c = job->context;

    if (c->memory == EET_HOST || job->lists.used == 0) {
        return EET_OK;
    }
    return eet_op_done(
        job, c->api->upload(c->backend, job->listed, job->lists.base, job->lists.used), "a list");
}

eet_status eet_op_convert(const eet_op_job *job, const eet_convert_args *args) {
    return eet_op_done(job, job->context->ops->convert(job->context->backend, args), "convert");
}

/* Between a caller's array, whose side of `args` is described here, and row-major memory. */
static eet_status move(const eet_op_job *job, const eet_op_view *view, eet_convert_args args,
                       bool delivers) {
    int64_t *const strides = delivers ? args.y_stride : args.x_stride;
    int64_t *const packed = delivers ? args.x_stride : args.y_stride;
    int64_t step = 1;

    args.count = view->count;
    args.rank = view->dense ? 0 : view->rank;
    for (int32_t i = args.rank - 1; i >= 0; --i) {
        args.shape[i] = view->shape[i];
        strides[i] = view->stride[i];
        packed[i] = step;
        step *= view->shape[i];
    }
    return eet_op_convert(job, &args);
}

eet_status eet_op_fetch(const eet_op_job *job, const eet_op_view *from, float *to) {
    if (to == from->data || from->count == 0) {
        return EET_OK;
    }
    return move(job, from,
                (eet_convert_args){.x = from->data, .y = to, .from = from->dtype, .to = EET_F32},
                false);
}

eet_status eet_op_deliver(const eet_op_job *job, const float *from, const eet_op_view *to) {
    if (from == to->data || to->count == 0) {
        return EET_OK;
    }
    return move(job, to,
                (eet_convert_args){.x = from, .y = to->data, .from = EET_F32, .to = to->dtype},
                true);
}

eet_status eet_op_look_mask(const eet_op_job *job, const eet_array *array, const char *name,
                            eet_op_kind kind, const int64_t need[4], eet_mask *out) {
    int64_t stride[4] = {0};
    eet_op_view v;

    if (!eet_op_given(array)) {
        return EET_OK;
    }
    const eet_status status = eet_op_look(job, array, name, kind, &v);

    if (status != EET_OK) {
        return status;
    }
    for (int32_t i = 0; i < v.rank; ++i) {
        const int32_t axis = 4 - v.rank + i;
        const bool whole = axis >= 0 && (axis < 2 ? v.shape[i] == need[axis] || need[axis] == 0
                                                  : v.shape[i] >= need[axis]);

        if (axis < 0 || (!whole && v.shape[i] != 1)) {
            return eet_op_misfit(job, &v, "it has to be (%lld|1, %lld|1, %lld|1, %lld|1)",
                                 (long long)need[0], (long long)need[1], (long long)need[2],
                                 (long long)need[3]);
        }
        stride[axis] = v.shape[i] == 1 ? 0 : v.stride[i];
    }
    *out = (eet_mask){.data = v.data,
                      .row = stride[0],
                      .head = stride[1],
                      .query = stride[2],
                      .key = stride[3],
                      .dtype = v.dtype};
    return EET_OK;
}
