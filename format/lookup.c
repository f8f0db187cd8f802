/* lookup.c - finds tensors of an open file by number, by name, and by their place in
 * the model; and their sums. */
#include <string.h>

#include "format/file.h"

/* Places sort by role, then layer. */
static uint32_t place_key(uint16_t role, int32_t layer) {
    return (uint32_t)role << 16 | (uint32_t)(layer - INT16_MIN);
}

uint32_t eet_file_place(const eet_file *file, uint32_t index) {
    return place_key(file->directory[index].role, file->directory[index].layer);
}

int64_t eet_file_find_place(const eet_file *file, uint16_t role, int32_t layer) {
    uint32_t low = 0;
    uint32_t high = file->header.tensor_count;

    if (layer < INT16_MIN || layer > INT16_MAX) {
        return -1;
    }
    const uint32_t key = place_key(role, layer);

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (eet_file_place(file, file->by_role[middle]) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == file->header.tensor_count || eet_file_place(file, file->by_role[low]) != key) {
        return -1;
    }
    return (int64_t)file->by_role[low];
}

int32_t eet_file_tensors(const eet_file *file) {
    return (int32_t)file->header.tensor_count;
}

eet_file_tensor eet_file_tensor_at(const eet_file *file, int32_t index) {
    const eet_disk_tensor *t = &file->directory[index];
    eet_file_tensor tensor = {.name = file->name_text + file->name_at[index],
                              .index = index,
                              .dtype = t->dtype,
                              .rank = t->rank,
                              .bytes = t->nbytes,
                              .offset = file->sections[t->section].offset + t->offset,
                              .role = t->role,
                              .layout = t->layout,
                              .layer = t->layer,
                              .flags = t->flags,
                              .alias_of = t->alias_of == EET_NO_TENSOR ? -1 : (int32_t)t->alias_of,
                              .xxh3 = (const uint8_t *)t->xxh3_128,
                              .sha256 = t->sha256};

    memcpy(tensor.dims, t->dims, sizeof tensor.dims);
    tensor.data = file->bytes + tensor.offset;
    return tensor;
}

bool eet_file_tensor_named(const eet_file *file, const char *name, eet_file_tensor *out) {
    uint32_t low = 0;
    uint32_t high = file->header.tensor_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = strcmp(file->name_text + file->name_at[middle], name);

        if (order == 0) {
            *out = eet_file_tensor_at(file, (int32_t)middle);
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool eet_file_tensor_bound(const eet_file *file, uint16_t role, int32_t layer,
                           eet_file_tensor *out) {
    const int64_t index = eet_file_find_place(file, role, layer);

    if (index < 0) {
        return false;
    }
    *out = eet_file_tensor_at(file, (int32_t)index);
    return true;
}

uint64_t eet_tensor_elements(const eet_file_tensor *tensor) {
    uint64_t count = 1;

    for (int32_t i = 0; i < tensor->rank; i++) {
        count *= tensor->dims[i]; /* level 0 has checked the product */
    }
    return count;
}

eet_file_totals eet_file_sum(const eet_file *file) {
    eet_file_totals totals = {.tensors = eet_file_tensors(file)};

    for (int32_t i = 0; i < totals.tensors; i++) {
        const eet_file_tensor tensor = eet_file_tensor_at(file, i);

        if (tensor.alias_of >= 0) {
            totals.aliases++;
            continue;
        }
        totals.bytes += tensor.bytes;
        if ((tensor.flags & EET_TENSOR_SYNTH) == 0) {
            totals.parameters += eet_tensor_elements(&tensor);
        }
    }
    return totals;
}
