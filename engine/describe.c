/* describe.c - what a model tells about itself: facts, tensors, heads. */
#include <stdlib.h>
#include <string.h>

#include "engine/model.h"

static int compare_names(const void *left, const void *right, void *file) {
    const eet_file_tensor a = eet_file_tensor_at(file, *(const int32_t *)left);
    const eet_file_tensor b = eet_file_tensor_at(file, *(const int32_t *)right);

    return strcmp(a.name, b.name);
}

/* Terminated copies of the facts that are text. */
static bool copy_texts(eet_model *model) {
    const eet_kv_view *meta = eet_file_meta(model->file);
    size_t room = 0;
    size_t used = 0;

    for (uint32_t i = 0; i < meta->count; ++i) {
        room += (size_t)eet_kv_at(meta, i).value_bytes + 1;
    }
    model->texts = calloc(room + 1, 1);
    model->text = calloc((size_t)meta->count + 1, sizeof *model->text);
    if (model->texts == NULL || model->text == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < meta->count; ++i) {
        const eet_kv entry = eet_kv_at(meta, i);
        const char *text = NULL;
        uint32_t bytes = 0;

        if (eet_kv_string(&entry, &text, &bytes)) {
            memcpy(model->texts + used, text, bytes);
            model->text[i].text = model->texts + used;
            used += (size_t)bytes + 1;
        }
    }
    return true;
}

eet_status eet_model_index(eet_model *model, eet_error *err) {
    const int32_t count = eet_file_tensors(model->file);

    model->by_name = calloc((size_t)count + 1, sizeof *model->by_name);
    if (model->by_name == NULL || !copy_texts(model)) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the model's index");
    }
    for (int32_t i = 0; i < count; ++i) {
        model->by_name[i] = i;
    }
    qsort_r(model->by_name, (size_t)count, sizeof *model->by_name, compare_names, model->file);
    return EET_OK;
}

void eet_model_unindex(eet_model *model) {
    free(model->by_name);
    free(model->texts);
    free(model->text);
}

uint64_t eet_model_file_bytes(const eet_model *model) {
    return eet_file_sum(model->file).bytes;
}

void eet_model_info_get(const eet_model *model, eet_model_info *out) {
    const eet_stack_facts *first = &model->facts->stack[eet_model_first_stack(model)];
    const eet_stack_facts *last = &model->facts->stack[eet_model_last_stack(model)];
    const eet_file_totals totals = eet_file_sum(model->file);

    *out = (eet_model_info){
        .has_encoder = model->facts->stack[EET_ENC].present,
        .has_decoder = model->facts->stack[EET_DEC].present,
        .has_cross = model->facts->stack[EET_DEC].present && model->facts->stack[EET_DEC].cross,
        .heads = model->facts->heads,
        .hidden = last->hidden,
        .vocab_size = first->vocab_size,
        .max_positions = last->pos_rows,
        .tensors = totals.tensors,
        .weight_bytes = totals.bytes,
        .parameters = totals.parameters,
    };
    memcpy(out->content_sha256, eet_file_content_sha256(model->file), sizeof out->content_sha256);
    memcpy(out->weights_sha256, eet_file_weights_sha256(model->file), sizeof out->weights_sha256);
    memcpy(out->family, model->facts->family, sizeof out->family);
    out->family[sizeof out->family - 1] = '\0';
}

/* The number of META's entry with this key, or -1. */
static int64_t entry_of(const eet_kv_view *meta, const char *key) {
    const size_t bytes = strlen(key);

    for (uint32_t i = 0; i < meta->count; ++i) {
        const eet_kv entry = eet_kv_at(meta, i);

        if (entry.key_bytes == bytes && memcmp(entry.key, key, bytes) == 0) {
            return i;
        }
    }
    return -1;
}

eet_status eet_model_fact_get(const eet_model *model, const char *key, eet_fact *out,
                              eet_error *err) {
    const eet_kv_view *meta = eet_file_meta(model->file);
    const int64_t at = entry_of(meta, key);
    eet_shown shown;
    uint64_t natural = 0;
    bool yes = false;

    *out = (eet_fact){0};
    if (at < 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the model has no fact \"%s\"",
                        eet_show(&shown, key, strlen(key)));
    }
    const eet_kv entry = eet_kv_at(meta, (uint32_t)at);

    if (eet_kv_i64(&entry, &out->integer)) {
        out->kind = EET_FACT_INTEGER;
    } else if (eet_kv_u64(&entry, &natural) && natural <= INT64_MAX) {
        out->kind = EET_FACT_INTEGER;
        out->integer = (int64_t)natural;
    } else if (eet_kv_f64(&entry, &out->real)) {
        out->kind = EET_FACT_REAL;
    } else if (eet_kv_bool(&entry, &yes)) {
        out->kind = EET_FACT_BOOL;
        out->integer = yes;
    } else if (model->text[at].text != NULL) {
        out->kind = EET_FACT_TEXT;
        out->text = model->text[at].text;
    } else {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the fact \"%s\" is a list; eet_model_head gives labels",
                        eet_show(&shown, key, strlen(key)));
    }
    return EET_OK;
}

eet_status eet_model_tensor_get(const eet_model *model, int32_t index, eet_tensor_info *out,
                                eet_error *err) {
    const int32_t count = eet_file_tensors(model->file);

    if (index < 0 || index >= count) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no tensor %d; the model has %d",
                        (int)index, (int)count);
    }
    const eet_file_tensor tensor = eet_file_tensor_at(model->file, model->by_name[index]);

    *out = (eet_tensor_info){.name = tensor.name};
    out->array = (eet_array){
        .size = sizeof out->array,
        .dtype = tensor.dtype,
        .memory = EET_HOST,
        .rank = tensor.rank,
    };
    for (int32_t i = 0; i < tensor.rank; ++i) {
        out->array.shape[i] = (int64_t)tensor.dims[i];
    }
    memcpy(&out->array.data, &tensor.data, sizeof tensor.data); /* read-only, as the header says */
    return EET_OK;
}

eet_status eet_model_weight_get(const eet_model *model, int32_t index, eet_array *out,
                                eet_error *err) {
    eet_tensor_info info;
    const eet_status status = eet_model_tensor_get(model, index, &info, err);

    for (int32_t i = 0; i < model->placed_count && status == EET_OK; ++i) {
        const eet_matrix *m = &model->placed[i].matrix;

        if (model->placed[i].host == info.array.data) {
            *out = (eet_array){.size = sizeof *out,
                               .dtype = m->dtype,
                               .memory = model->device,
                               .rank = 2,
                               .shape = {m->n, m->k},
                               .stride = {m->ld, 1}};
            memcpy(&out->data, &m->data, sizeof m->data); /* read-only, as the header says */
            return EET_OK;
        }
    }
    return status != EET_OK ? status
                            : eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                                       "tensor %d (%s) is no matrix that the model computes with",
                                       (int)index, info.name);
}

eet_status eet_model_head_get(const eet_model *model, int32_t index, eet_head_info *out,
                              eet_error *err) {
    if (index < 0 || index >= model->facts->heads) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no head %d; the model has %d",
                        (int)index, (int)model->facts->heads);
    }
    const eet_head_facts *facts = &model->facts->head[index];

    *out = (eet_head_info){
        .take = facts->take,
        .width = model->head[index].width,
        .labels = facts->label_count,
        .name = facts->name,
        .label = facts->labels,
    };
    return EET_OK;
}
