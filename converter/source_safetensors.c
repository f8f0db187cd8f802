/* source_safetensors.c - reads safetensors: a length, a header in JSON, data that
 * the header's tensors cover without hole, overlap or rest. */
#include <stdlib.h>
#include <string.h>

#include "converter/input.h"
#include "converter/keras_names.h"
#include "converter/source_reader.h"
#include "format/checked.h"
#include "format/cli/json.h"
#include "format/utf8.h"

enum { LENGTH = 8, MAX_HEADER = 100000000, DEPTH = 3 };

static const int64_t MAX_NUMBER = INT64_C(1) << 53;

typedef struct range {
    uint64_t begin, end; /* behind the header */
} range;

typedef struct safetensors {
    uint64_t data; /* where the data begin in the file */
    range *storage;
    int32_t count;
    bool keras; /* names and orientation are TensorFlow's */
} safetensors;

/* Name in a header, bits (0 ends the table), what it is, why it is not read. */
static const struct {
    const char *name;
    uint32_t bits;
    eet_source_dtype dtype;
    const char *refusal;
} dtypes[] = {
    {"F64", 64, EET_SRC_F64, NULL},
    {"F32", 32, EET_SRC_F32, NULL},
    {"F16", 16, EET_SRC_F16, NULL},
    {"BF16", 16, EET_SRC_BF16, NULL},
    {"I64", 64, EET_SRC_I64, NULL},
    {"I32", 32, EET_SRC_I32, NULL},
    {"I16", 16, EET_SRC_I16, NULL},
    {"I8", 8, EET_SRC_I8, NULL},
    {"U64", 64, EET_SRC_U64, NULL},
    {"U32", 32, EET_SRC_U32, NULL},
    {"U16", 16, EET_SRC_U16, NULL},
    {"U8", 8, EET_SRC_U8, NULL},
    {"BOOL", 8, EET_SRC_BOOL, NULL},
    {"F8_E4M3", 8, EET_SRC_F8_E4M3, NULL},
    {"F8_E5M2", 8, EET_SRC_F8_E5M2, NULL},
    {"F8_E8M0", 8, EET_SRC_F8_E8M0, NULL},
    {"C64", 64, EET_SRC_C64, NULL},
    {"F8_E4M3FNUZ", 8, EET_SRC_OTHER, "its dtype is F8_E4M3FNUZ"},
    {"F8_E5M2FNUZ", 8, EET_SRC_OTHER, "its dtype is F8_E5M2FNUZ"},
    {"F6_E2M3", 6, EET_SRC_OTHER, "its dtype is F6_E2M3"},
    {"F6_E3M2", 6, EET_SRC_OTHER, "its dtype is F6_E3M2"},
    {"F4", 4, EET_SRC_OTHER, "its dtype is F4"},
    {"", 0, EET_SRC_OTHER, "its dtype is not known"},
};

/* One tensor's line of the header. */
typedef struct line {
    eet_shown shown; /* its name */
    const char *name;
    uint64_t name_bytes;
    const eet_json *value;
} line;

static eet_status fail_line(const line *l, const char *what, eet_error *err) {
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "tensor \"%s\" %s", l->shown.text, what);
}

/* What the JSON reader lets pass and this format has not: outside of strings there
 * are brackets, commas, colons and digits; nesting is shallow. */
static eet_status check_header(const char *text, uint64_t bytes, eet_error *err) {
    int depth = 0;

    for (uint64_t i = 0; i < bytes; i++) {
        const char c = text[i];

        if (c == '"') {
            for (i++; i < bytes && text[i] != '"'; i++) {
                i += text[i] == '\\' ? 1 : 0;
            }
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH) {
                return eet_fail(err, EET_E_CORRUPT, LENGTH + i,
                                "the header of the safetensors file is nested too deep");
            }
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == '\0' || strchr(" \t\r\n,:0123456789", c) == NULL) {
            return eet_fail(err, EET_E_CORRUPT, LENGTH + i,
                            "the header of the safetensors file has a character that belongs to "
                            "no string and no whole number");
        }
    }
    return EET_OK;
}

/* The header's text; free() it. Sets where the data begin. */
static eet_status read_header(const eet_source *source, char **text, uint64_t *bytes,
                              eet_error *err) {
    uint8_t length[LENGTH];
    uint64_t count = 0;
    eet_status status = source->bytes < LENGTH
                            ? eet_fail(err, EET_E_CORRUPT, source->bytes, "too short")
                            : eet_read_at(source->fd, 0, length, LENGTH, err);

    if (status != EET_OK) {
        return status;
    }
    for (int i = LENGTH - 1; i >= 0; i--) {
        count = count << 8 | length[i];
    }
    if (count > source->bytes - LENGTH || count < 2) {
        return eet_fail(err, EET_E_CORRUPT, 0,
                        "the safetensors header says it has %llu bytes, in a file of %llu",
                        (unsigned long long)count, (unsigned long long)source->bytes);
    }
    if (count > MAX_HEADER) {
        return eet_fail(err, EET_E_LIMIT, 0,
                        "the safetensors header has %llu bytes; at most %d are read",
                        (unsigned long long)count, MAX_HEADER);
    }
    char *read = malloc((size_t)count + 1);

    if (read == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a safetensors header");
    }
    status = eet_read_at(source->fd, LENGTH, read, count, err);
    if (status == EET_OK && read[0] != '{') {
        status = eet_fail(err, EET_E_CORRUPT, LENGTH,
                          "the safetensors header does not begin with \"{\"");
    }
    if (status == EET_OK && !eet_utf8_valid(read, count)) {
        status = eet_fail(err, EET_E_CORRUPT, LENGTH, "the safetensors header is not UTF-8");
    }
    if (status == EET_OK) {
        status = check_header(read, count, err);
    }
    if (status != EET_OK) {
        free(read);
        return status;
    }
    read[count] = '\0';
    *text = read;
    *bytes = count;
    return EET_OK;
}

/* What the writer says the names and the orientation are. */
static eet_status check_metadata(const eet_json *metadata, bool *keras, eet_error *err) {
    eet_json_iterator it = eet_json_members(metadata);
    const char *key = NULL;
    const eet_json *value = NULL;
    uint64_t bytes = 0;

    if (eet_json_kind_of(metadata) != EET_JSON_OBJECT) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"__metadata__\" of the safetensors file is not an object");
    }
    while (eet_json_next(&it, &key, &bytes, &value)) {
        const char *text = eet_json_as_string(value, NULL);
        eet_shown shown;

        if (text == NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "\"__metadata__\" of the safetensors file holds %s; only strings are "
                            "allowed",
                            eet_json_kind_name(eet_json_kind_of(value)));
        }
        if (strcmp(key, "format") != 0 || strcmp(text, "pt") == 0) {
            continue;
        }
        *keras = strcmp(text, "tf") == 0;
        if (!*keras) {
            return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                            "the safetensors file was written for \"%s\"; those for PyTorch "
                            "(\"pt\") and TensorFlow (\"tf\") are read",
                            eet_show(&shown, text, strlen(text)));
        }
    }
    return EET_OK;
}

/* Only the three keys, each once. */
static eet_status check_keys(const line *l, eet_error *err) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};

    if (eet_json_kind_of(l->value) != EET_JSON_OBJECT) {
        return fail_line(l, "is described by no object", err);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (eet_json_get(l->value, keys[i]) == NULL) {
            return fail_line(l, "lacks one of dtype, shape and data_offsets", err);
        }
    }
    return eet_json_length(l->value) == 3
               ? EET_OK
               : fail_line(l, "has more than dtype, shape and data_offsets", err);
}

/* The numbers of an array; false when it is none, or has others than whole ones. */
static bool read_numbers(const eet_json *array, uint64_t *out, uint64_t room, uint64_t *count) {
    if (array == NULL || eet_json_kind_of(array) != EET_JSON_ARRAY) {
        return false;
    }
    *count = eet_json_length(array);
    for (uint64_t i = 0; i < *count && i < room; i++) {
        int64_t value = 0;

        if (!eet_json_as_integer(eet_json_item(array, i), &value) || value < 0 ||
            value > MAX_NUMBER) {
            return false;
        }
        out[i] = (uint64_t)value;
    }
    return true;
}

/* Fills shape, strides and elements. */
static eet_status read_shape(const line *l, eet_source_tensor *tensor, eet_error *err) {
    uint64_t rank = 0;
    uint64_t step = 1;

    if (!read_numbers(eet_json_get(l->value, "shape"), tensor->shape, EET_SOURCE_MAX_RANK, &rank)) {
        return fail_line(l, "has a shape that is no array of whole numbers", err);
    }
    if (rank > EET_SOURCE_MAX_RANK) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" has %llu dimensions; 0 to %d are allowed", l->shown.text,
                        (unsigned long long)rank, EET_SOURCE_MAX_RANK);
    }
    tensor->rank = (int32_t)rank;
    for (int32_t i = tensor->rank - 1; i >= 0; i--) {
        tensor->stride[i] = step;
        if (!eet_mul_u64(step, tensor->shape[i], &step)) {
            return fail_line(l, "has more elements than can be counted", err);
        }
    }
    tensor->elements = step;
    return EET_OK;
}

/* The bytes of the tensor, which its dtype and shape must account for. */
static eet_status check_bytes(const line *l, const eet_source_tensor *tensor, const range *r,
                              uint32_t bits, eet_error *err) {
    uint64_t all = 0;

    if (r->begin > r->end) {
        return fail_line(l, "ends before it begins", err);
    }
    if (bits == 0) {
        return EET_OK;
    }
    if (!eet_mul_u64(tensor->elements, bits, &all) || all % 8 != 0 ||
        all / 8 != r->end - r->begin) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" has %llu bytes of data; its shape and dtype need %llu bits",
                        l->shown.text, (unsigned long long)(r->end - r->begin),
                        (unsigned long long)all);
    }
    return EET_OK;
}

/* A variable of TensorFlow becomes a tensor of PyTorch; `name` is where its name lies then. */
static eet_status turn(const line *l, char name[EET_KERAS_NAME + 1], eet_source_tensor *tensor,
                       eet_error *err) {
    eet_keras_turn how = EET_KERAS_AS_IS;

    if (l->name_bytes != strlen(l->name) ||
        !eet_keras_name(l->name, false, tensor->rank, tensor->shape, name, &how)) {
        return fail_line(l, "has a name that is no variable's", err);
    }
    eet_keras_turn_tensor(tensor, how);
    tensor->name = name;
    tensor->name_bytes = (uint32_t)strlen(name);
    return EET_OK;
}

/* Adds the tensor of a line as the next one, with a storage of its own. */
static eet_status read_line(eet_source *source, const line *l, eet_error *err) {
    safetensors *state = source->state;
    const uint64_t room = source->bytes - state->data;
    eet_source_tensor tensor = {
        .name = l->name, .name_bytes = (uint32_t)l->name_bytes, .storage = state->count};
    uint64_t offset[2] = {0, 0};
    uint64_t count = 0;
    char keras[EET_KERAS_NAME + 1];
    size_t i = 0;
    eet_status status = check_keys(l, err);

    if (status != EET_OK) {
        return status;
    }
    const char *dtype = eet_json_as_string(eet_json_get(l->value, "dtype"), NULL);

    if (dtype == NULL) {
        return fail_line(l, "has a dtype that is no string", err);
    }
    while (dtypes[i].bits != 0 && strcmp(dtypes[i].name, dtype) != 0) {
        i++;
    }
    tensor.dtype = dtypes[i].dtype;
    tensor.refusal = dtypes[i].refusal;
    if (!read_numbers(eet_json_get(l->value, "data_offsets"), offset, 2, &count) || count != 2) {
        return fail_line(l, "has data_offsets that are no two whole numbers", err);
    }
    const range r = {offset[0], offset[1]};

    status = read_shape(l, &tensor, err);
    if (status == EET_OK) {
        status = check_bytes(l, &tensor, &r, dtypes[i].bits, err);
    }
    if (status == EET_OK && r.end > room) {
        status = eet_fail(err, EET_E_CORRUPT, state->data + r.end,
                          "tensor \"%s\" ends at byte %llu of %llu bytes of data", l->shown.text,
                          (unsigned long long)r.end, (unsigned long long)room);
    }
    if (status != EET_OK) {
        return status;
    }
    state->storage[state->count++] = r;
    if (state->keras) {
        status = turn(l, keras, &tensor, err);
    }
    return status == EET_OK ? eet_source_add(source, &tensor, err) : status;
}

static int by_place(const void *a, const void *b) {
    const range *x = a;
    const range *y = b;

    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors must cover the data from first to last byte, each byte once. */
static eet_status check_cover(const eet_source *source, eet_error *err) {
    const safetensors *state = source->state;
    const size_t bytes = (size_t)state->count * sizeof *state->storage;
    range *sorted = malloc(bytes + 1);
    uint64_t end = 0;
    eet_status status = EET_OK;

    if (sorted == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a safetensors header");
    }
    memcpy(sorted, state->storage, bytes);
    qsort(sorted, (size_t)state->count, sizeof *sorted, by_place);
    for (int32_t i = 0; status == EET_OK && i < state->count; i++) {
        if (sorted[i].begin != end) {
            status =
                eet_fail(err, EET_E_CORRUPT, state->data + end,
                         sorted[i].begin > end ? "bytes of the safetensors file belong to no tensor"
                                               : "two tensors of the safetensors file overlap");
        }
        end = sorted[i].end;
    }
    free(sorted);
    if (status == EET_OK && state->data + end != source->bytes) {
        return eet_fail(err, EET_E_CORRUPT, state->data + end,
                        "%llu bytes follow the last tensor of the safetensors file",
                        (unsigned long long)(source->bytes - state->data - end));
    }
    return status;
}

static eet_status read_members(eet_source *source, const eet_json *root, eet_error *err) {
    safetensors *state = source->state;
    eet_json_iterator it = eet_json_members(root);
    line l;
    eet_status status = EET_OK;

    if (eet_json_kind_of(root) != EET_JSON_OBJECT) {
        return eet_fail(err, EET_E_CORRUPT, LENGTH, "the safetensors header is not an object");
    }
    if (eet_json_get(root, "__metadata__") != NULL) {
        status = check_metadata(eet_json_get(root, "__metadata__"), &state->keras, err);
    }
    while (status == EET_OK && eet_json_next(&it, &l.name, &l.name_bytes, &l.value)) {
        if (strcmp(l.name, "__metadata__") == 0) {
            continue;
        }
        l.name_bytes = l.name_bytes < UINT32_MAX ? l.name_bytes : UINT32_MAX;
        (void)eet_show(&l.shown, l.name, l.name_bytes);
        status = read_line(source, &l, err);
    }
    return status == EET_OK ? check_cover(source, err) : status;
}

static eet_status open_safetensors(eet_source *source, eet_error *err) {
    safetensors *state = calloc(1, sizeof *state);
    char *text = NULL;
    uint64_t bytes = 0;
    eet_json *root = NULL;

    if (state == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a safetensors file");
    }
    source->state = state;
    eet_status status = read_header(source, &text, &bytes, err);

    if (status != EET_OK) {
        return status;
    }
    state->data = LENGTH + bytes;
    status = eet_json_parse(text, bytes, &root, err);
    free(text);
    if (status != EET_OK) {
        eet_error_prefix(err, "the safetensors header");
        return status;
    }
    const uint64_t count = eet_json_length(root);

    state->storage = count < INT32_MAX ? malloc((size_t)count * sizeof *state->storage + 1) : NULL;
    status = state->storage == NULL
                 ? eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a safetensors file")
                 : read_members(source, root, err);
    eet_json_free(root);
    return status;
}

static void close_safetensors(eet_source *source) {
    safetensors *state = source->state;

    if (state != NULL) {
        free(state->storage);
    }
    free(state);
    source->state = NULL;
}

static uint64_t storage_bytes(const eet_source *source, int32_t storage) {
    const safetensors *state = source->state;

    return state->storage[storage].end - state->storage[storage].begin;
}

static eet_status storage_read(eet_source *source, int32_t storage, void *data, eet_error *err) {
    const safetensors *state = source->state;
    const range *r = &state->storage[storage];

    return eet_read_at(source->fd, state->data + r->begin, data, r->end - r->begin, err);
}

const eet_source_reader eet_source_reader_safetensors = {
    .kind = "safetensors",
    .open = open_safetensors,
    .close = close_safetensors,
    .storage_bytes = storage_bytes,
    .storage_read = storage_read,
};
