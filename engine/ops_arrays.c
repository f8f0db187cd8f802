/* ops_arrays.c - the caller's arrays, checked, and to and from f32. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/ops.h"
#include "format/half.h"
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
                               const char *name) {
    const uint32_t bytes = eet_dtype_bytes((eet_dtype)v->dtype);

    if (array->memory != EET_HOST) {
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
    *out = (eet_op_view){.name = name, .data = array->data, .dtype = array->dtype};
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
    return check_memory(job, array, out, name);
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

/* Elements of a strided array in row-major order. */
typedef struct walk {
    const eet_op_view *view;
    int64_t index[EET_MAX_RANK], at;
} walk;

static void step(walk *w) {
    for (int32_t i = w->view->rank - 1; i >= 0; --i) {
        w->at += w->view->stride[i];
        if (++w->index[i] < w->view->shape[i]) {
            return;
        }
        w->at -= w->view->stride[i] * w->view->shape[i];
        w->index[i] = 0;
    }
}

static eet_status convert(const eet_op_job *job, eet_convert_args args) {
    return eet_op_done(job, job->context->ops->convert(job->context->backend, &args), "convert");
}

eet_status eet_op_fetch(const eet_op_job *job, const eet_op_view *from, float *to) {
    walk w = {.view = from};

    if (to == from->data || from->count == 0) {
        return EET_OK;
    }
    if (from->dense) {
        return convert(job, (eet_convert_args){.x = from->data,
                                               .y = to,
                                               .count = from->count,
                                               .from = from->dtype,
                                               .to = EET_F32});
    }
    for (int64_t i = 0; i < from->count; ++i) {
        to[i] = eet_float_at(from->data, from->dtype, w.at);
        step(&w);
    }
    return EET_OK;
}

eet_status eet_op_deliver(const eet_op_job *job, const float *from, const eet_op_view *to) {
    walk w = {.view = to};

    if (from == to->data || to->count == 0) {
        return EET_OK;
    }
    if (to->dense) {
        return convert(
            job,
            (eet_convert_args){
                .x = from, .y = to->data, .count = to->count, .from = EET_F32, .to = to->dtype});
    }
    for (int64_t i = 0; i < to->count; ++i) {
        eet_float_put(to->data, to->dtype, w.at, from[i]);
        step(&w);
    }
    return EET_OK;
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
