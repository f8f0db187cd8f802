/* bind.c - holds the tensors of a file against its facts: every place of the model
 * has its tensor in the right shape, and nothing required is left over. */
#include <stdlib.h>
#include <string.h>

#include "format/file.h"
#include "format/slots.h"

static int by_place(const void *left, const void *right, void *context) {
    const uint32_t a = eet_file_place(context, *(const uint32_t *)left);
    const uint32_t b = eet_file_place(context, *(const uint32_t *)right);

    return a < b ? -1 : a > b;
}

static eet_status sort_roles(eet_file *file, eet_error *err) {
    const uint32_t count = file->header.tensor_count;

    file->by_role = malloc(((size_t)count + 1) * sizeof *file->by_role);
    if (file->by_role == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the directory");
    }
    for (uint32_t i = 0; i < count; i++) {
        file->by_role[i] = i;
    }
    qsort_r(file->by_role, count, sizeof *file->by_role, by_place, file);
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t index = file->by_role[i];

        if (eet_file_place(file, file->by_role[i - 1]) == eet_file_place(file, index) &&
            file->directory[index].role >> 8 != EET_GROUP_QUANT) {
            return eet_fail(err, EET_E_CORRUPT, file->tensors.base + 192 * (uint64_t)index,
                            "tensor \"%s\": its place in the model is taken by \"%s\"",
                            file->name_text + file->name_at[index],
                            file->name_text + file->name_at[file->by_role[i - 1]]);
        }
    }
    return EET_OK;
}

typedef struct binding {
    const eet_file *file;
    bool *bound; /* (tensor_count) */
    eet_error *err;
} binding;

static eet_status check_shape(const binding *b, uint32_t index, const eet_expected *expected) {
    const eet_disk_tensor *t = &b->file->directory[index];
    const char *name = b->file->name_text + b->file->name_at[index];
    const uint64_t at = b->file->tensors.base + sizeof *t * (uint64_t)index;

    if (t->rank != expected->rank) {
        return eet_fail(b->err, EET_E_CORRUPT, at, "tensor \"%s\": rank %u; the facts call for %d",
                        name, t->rank, (int)expected->rank);
    }
    for (int i = 0; i < expected->rank; i++) {
        if (expected->shape[i] >= 0 && t->dims[i] != (uint64_t)expected->shape[i]) {
            return eet_fail(b->err, EET_E_CORRUPT, at,
                            "tensor \"%s\": dimension %d is %llu; the facts call for %lld", name, i,
                            (unsigned long long)t->dims[i], (long long)expected->shape[i]);
        }
    }
    return EET_OK;
}

/* Only these dtypes are weights in this version. */
static bool dtype_is_weight(uint8_t dtype) {
    return dtype == EET_F32 || dtype == EET_F16 || dtype == EET_BF16;
}

static eet_status bind_one(void *context, const eet_expected *expected) {
    const binding *b = context;
    const int64_t found = eet_file_find_place(b->file, expected->role, expected->layer);

    if (found < 0) {
        char name[EET_MAX_NAME + 1] = "";

        if (!expected->required) {
            return EET_OK;
        }
        (void)eet_slot_name(expected->role, expected->layer, expected->head, name, sizeof name);
        return eet_fail(b->err, EET_E_CORRUPT, b->file->tensors.base, "tensor \"%s\" is missing",
                        name);
    }
    const uint32_t index = (uint32_t)found;
    const eet_disk_tensor *t = &b->file->directory[index];

    b->bound[index] = true;
    if (!dtype_is_weight(t->dtype)) {
        return eet_fail(
            b->err, EET_E_UNSUPPORTED, b->file->tensors.base + sizeof *t * (uint64_t)index,
            "tensor \"%s\": weights of dtype %s are not read by this version",
            b->file->name_text + b->file->name_at[index], eet_dtype_name((eet_dtype)t->dtype));
    }
    return check_shape(b, index, expected);
}

static const eet_disk_tensor *head_part(const eet_file *file, int32_t head, int slot, bool bias) {
    const int64_t found = eet_file_find_place(file, eet_role(EET_GROUP_HEAD, slot, bias), head);

    return found < 0 ? NULL : &file->directory[found];
}

/* take -> [dense -> act] -> [norm] -> [out]: each part's width is the next one's. */
static const char *head_fault(const eet_file *file, int32_t head) {
    static const int slots[] = {EET_SLOT_HEAD_DENSE, EET_SLOT_HEAD_NORM, EET_SLOT_HEAD_OUT};
    const eet_head_facts *facts = &file->facts.head[head];
    uint64_t width = (uint64_t)file->facts.stack[facts->stack].hidden;

    for (int i = 0; i < 3; i++) {
        const eet_disk_tensor *weight = head_part(file, head, slots[i], false);
        const eet_disk_tensor *bias = head_part(file, head, slots[i], true);

        if (weight == NULL && bias != NULL) {
            return "a bias without its weight";
        }
        if (weight != NULL && bias != NULL && bias->dims[0] != weight->dims[0]) {
            return "a bias is not as long as its weight";
        }
        if (weight != NULL && weight->dims[weight->rank - 1] != width) {
            return "the width of a part is not that of the part before it";
        }
        width = weight != NULL ? weight->dims[0] : width;
    }
    if (width > INT32_MAX) {
        return "it is too wide";
    }
    return facts->label_count > 0 && (uint64_t)facts->label_count != width
               ? "it has not as many labels as outputs"
               : NULL;
}

static eet_status check_heads(const eet_file *file, eet_error *err) {
    for (int32_t i = 0; i < file->facts.heads; i++) {
        const char *fault = head_fault(file, i);

        if (fault != NULL) {
            return eet_fail(err, EET_E_CORRUPT, file->tensors.base, "head \"%s\": %s",
                            file->facts.head[i].name, fault);
        }
    }
    return EET_OK;
}

static eet_status check_leftovers(const binding *b) {
    for (uint32_t i = 0; i < b->file->header.tensor_count; i++) {
        const eet_disk_tensor *t = &b->file->directory[i];

        if (!b->bound[i] && (t->flags & EET_TENSOR_REQUIRED) != 0) {
            return eet_fail(b->err, EET_E_CORRUPT, b->file->tensors.base + sizeof *t * (uint64_t)i,
                            "tensor \"%s\" is required, but the facts have no place for it",
                            b->file->name_text + b->file->name_at[i]);
        }
    }
    return EET_OK;
}

eet_status eet_file_bind(eet_file *file, eet_error *err) {
    eet_status status = sort_roles(file, err);

    if (status != EET_OK) {
        return status;
    }
    binding b = {file, calloc((size_t)file->header.tensor_count + 1, sizeof(bool)), err};

    if (b.bound == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the directory");
    }
    status = eet_facts_expect(&file->facts, bind_one, &b);
    if (status == EET_OK) {
        status = check_heads(file, err);
    }
    if (status == EET_OK) {
        status = check_leftovers(&b);
    }
    free(b.bound);
    return status;
}
