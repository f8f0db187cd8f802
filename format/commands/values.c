/* values.c - values of a .eet file as the commands show them. */
#include "format/commands/values.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "format/utf8.h"

/* ---- metadata ----------------------------------------------------------- */

static char *copy_text(const char *text, uint32_t bytes) {
    char *copy = malloc((size_t)bytes + 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

static char *hex_text(const uint8_t *bytes, uint32_t count) {
    char *text = malloc(2 * (size_t)count + 1);

    if (text != NULL) {
        text[0] = '\0';
        for (uint32_t i = 0; i < count; i++) {
            (void)snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
        }
    }
    return text;
}

/* A string of `bytes` bytes (NULL: there was no memory) as a new JSON string. */
static void set_text(eet_json *object, const char *key, const char *text, uint32_t bytes) {
    char *copy = text == NULL ? NULL : copy_text(text, bytes);

    if (copy == NULL) {
        eet_json_set(object, key, NULL); /* marks the document as not built */
        return;
    }
    eet_json_set_string(object, key, copy);
    free(copy);
}

static void set_u64(eet_json *object, const char *key, uint64_t value) {
    char digits[24];

    if (value <= INT64_MAX) {
        eet_json_set_integer(object, key, (int64_t)value);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%" PRIu64, value);
    eet_json_set_string(object, key, digits);
}

static void append_u64(eet_json *array, uint64_t value) {
    char digits[24];

    if (value <= INT64_MAX) {
        eet_json_append_integer(array, (int64_t)value);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%" PRIu64, value);
    eet_json_append_string(array, digits);
}

static void append_item(eet_json *array, const eet_kv *entry, uint32_t index) {
    uint32_t bytes = 0;
    const char *text = NULL;

    switch (entry->type) {
    case EET_KV_U64_ARRAY:
        append_u64(array, eet_kv_u64_item(entry, index));
        return;
    case EET_KV_I64_ARRAY:
        eet_json_append_integer(array, eet_kv_i64_item(entry, index));
        return;
    case EET_KV_F64_ARRAY:
        eet_json_append_real(array, eet_kv_f64_item(entry, index));
        return;
    default:
        text = eet_kv_string_item(entry, index, &bytes);
    }
    char *copy = copy_text(text, bytes);

    if (copy == NULL) {
        eet_json_append(array, NULL);
    } else {
        eet_json_append_string(array, copy);
    }
    free(copy);
}

void eet_value_set(eet_json *object, const char *key, const eet_kv *entry) {
    uint64_t natural = 0;
    int64_t integer = 0;
    double real = 0;
    bool flag = false;
    const char *text = NULL;
    uint32_t bytes = 0;

    if (eet_kv_u64(entry, &natural)) {
        set_u64(object, key, natural);
    } else if (eet_kv_i64(entry, &integer)) {
        eet_json_set_integer(object, key, integer);
    } else if (eet_kv_f64(entry, &real)) {
        eet_json_set_real(object, key, real);
    } else if (eet_kv_bool(entry, &flag)) {
        eet_json_set_bool(object, key, flag);
    } else if (eet_kv_string(entry, &text, &bytes)) {
        set_text(object, key, text, bytes);
    } else if (entry->type == EET_KV_BYTES) {
        char *digits = hex_text(entry->value, entry->value_bytes);

        set_text(object, key, digits, 2 * entry->value_bytes);
        free(digits);
    } else {
        eet_json *array = eet_json_array();

        for (uint32_t i = 0; i < eet_kv_length(entry); i++) {
            append_item(array, entry, i);
        }
        eet_json_set(object, key, array);
    }
}

static void put_text(FILE *stream, const char *text, uint32_t bytes) {
    const unsigned char *at = (const unsigned char *)text;
    uint32_t i = 0;

    while (i < bytes) {
        uint32_t code = 0;
        const size_t n = eet_utf8_decode(at + i, bytes - i, &code);
        const size_t step = n == 0 ? 1 : n;

        if (n > 0 && eet_utf8_printable(code)) {
            (void)fwrite(text + i, 1, n, stream);
        } else {
            for (size_t j = 0; j < step; j++) {
                (void)fprintf(stream, "\\x%02X", at[i + j]);
            }
        }
        i += (uint32_t)step;
    }
}

/* The fewest digits that name the number. */
static void print_real(double value, FILE *stream) {
    char digits[40];

    for (int precision = 6; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) {
            break;
        }
    }
    (void)fputs(digits, stream);
}

static void print_item(const eet_kv *entry, uint32_t index, FILE *stream) {
    uint32_t bytes = 0;
    const char *text = NULL;

    switch (entry->type) {
    case EET_KV_U64_ARRAY:
        (void)fprintf(stream, "%" PRIu64, eet_kv_u64_item(entry, index));
        break;
    case EET_KV_I64_ARRAY:
        (void)fprintf(stream, "%" PRId64, eet_kv_i64_item(entry, index));
        break;
    case EET_KV_F64_ARRAY:
        print_real(eet_kv_f64_item(entry, index), stream);
        break;
    default:
        text = eet_kv_string_item(entry, index, &bytes);
        put_text(stream, text, bytes);
    }
}

void eet_value_print(const eet_kv *entry, FILE *stream) {
    uint64_t natural = 0;
    int64_t integer = 0;
    double real = 0;
    bool flag = false;
    const char *text = NULL;
    uint32_t bytes = 0;

    if (eet_kv_u64(entry, &natural)) {
        (void)fprintf(stream, "%" PRIu64, natural);
    } else if (eet_kv_i64(entry, &integer)) {
        (void)fprintf(stream, "%" PRId64, integer);
    } else if (eet_kv_f64(entry, &real)) {
        print_real(real, stream);
    } else if (eet_kv_bool(entry, &flag)) {
        (void)fputs(flag ? "true" : "false", stream);
    } else if (eet_kv_string(entry, &text, &bytes)) {
        put_text(stream, text, bytes);
    } else if (entry->type == EET_KV_BYTES) {
        for (uint32_t i = 0; i < entry->value_bytes; i++) {
            (void)fprintf(stream, "%02x", entry->value[i]);
        }
    } else {
        for (uint32_t i = 0; i < eet_kv_length(entry); i++) {
            (void)fputs(i == 0 ? "" : ", ", stream);
            print_item(entry, i, stream);
        }
    }
}

/* ---- tensors ------------------------------------------------------------ */

const char *eet_shape_format(eet_shape_text *buffer, const eet_file_tensor *tensor) {
    size_t used = 1;

    buffer->text[0] = '[';
    for (int32_t i = 0; i < tensor->rank; i++) {
        used += (size_t)snprintf(buffer->text + used, sizeof buffer->text - used, "%s%" PRIu64,
                                 i == 0 ? "" : ", ", tensor->dims[i]);
    }
    (void)snprintf(buffer->text + used, sizeof buffer->text - used, "]");
    return buffer->text;
}

const char *eet_xxh3_format(eet_shape_text *buffer, const uint8_t stored[16]) {
    for (size_t i = 0; i < 16; i++) {
        (void)snprintf(buffer->text + 2 * i, 3, "%02x", stored[15 - i]);
    }
    return buffer->text;
}

bool eet_element_readable(int32_t dtype) {
    switch (dtype) {
    case EET_F32:
    case EET_F16:
    case EET_BF16:
    case EET_F64:
    case EET_I8:
    case EET_U8:
    case EET_I32:
    case EET_I64:
    case EET_U16:
        return true;
    default:
        return false;
    }
}

double eet_element_read(const void *data, int32_t dtype, uint64_t index) {
    const uint8_t *at = data;
    uint16_t two = 0;
    uint32_t four = 0;
    uint64_t eight = 0;
    double real = 0;

    switch (dtype) {
    case EET_I8:
        return (int8_t)at[index];
    case EET_U8:
        return at[index];
    case EET_F16:
    case EET_BF16:
    case EET_U16:
        memcpy(&two, at + 2 * index, sizeof two);
        break;
    case EET_F32:
    case EET_I32:
        memcpy(&four, at + 4 * index, sizeof four);
        break;
    default:
        memcpy(&eight, at + 8 * index, sizeof eight);
        memcpy(&real, &eight, sizeof real);
    }
    switch (dtype) {
    case EET_F16:
        return (double)eet_f16_to_f32(two);
    case EET_BF16:
        return (double)eet_bf16_to_f32(two);
    case EET_U16:
        return two;
    case EET_F32:
        return (double)eet_float_of(four);
    case EET_I32:
        return (int32_t)four;
    case EET_I64:
        return (double)(int64_t)eight;
    default:
        return real;
    }
}

eet_statistics eet_statistics_of(const eet_file_tensor *tensor) {
    eet_statistics s = {.count = eet_tensor_elements(tensor), .min = INFINITY, .max = -INFINITY};
    double squares = 0; /* of the distances to the running mean (Welford) */
    uint64_t finite = 0;

    for (uint64_t i = 0; i < s.count; i++) {
        const double value = eet_element_read(tensor->data, tensor->dtype, i);

        if (!isfinite(value)) {
            s.nans += isnan(value) ? 1 : 0;
            s.infinities += isnan(value) ? 0 : 1;
            continue;
        }
        const double distance = value - s.mean;

        finite++;
        s.zeros += value == 0 ? 1 : 0;
        s.min = value < s.min ? value : s.min;
        s.max = value > s.max ? value : s.max;
        s.mean += distance / (double)finite;
        squares += distance * (value - s.mean);
    }
    if (finite == 0) {
        s.min = 0;
        s.max = 0;
    } else {
        s.deviation = sqrt(squares / (double)finite);
    }
    return s;
}

/* An exponent of all ones: infinite when the fraction is 0, else no number. */
static eet_census census_16(const uint8_t *at, uint64_t count, uint16_t infinity) {
    eet_census c = {.nans = 0};

    for (uint64_t i = 0; i < count; i++) {
        uint16_t bits = 0;

        memcpy(&bits, at + 2 * i, sizeof bits);
        bits &= 0x7FFF;
        c.nans += bits > infinity ? 1 : 0;
        c.infinities += bits == infinity ? 1 : 0;
    }
    return c;
}

static eet_census census_32(const uint8_t *at, uint64_t count) {
    eet_census c = {.nans = 0};

    for (uint64_t i = 0; i < count; i++) {
        uint32_t bits = 0;

        memcpy(&bits, at + 4 * i, sizeof bits);
        bits &= 0x7FFFFFFF;
        c.nans += bits > 0x7F800000 ? 1 : 0;
        c.infinities += bits == 0x7F800000 ? 1 : 0;
    }
    return c;
}

static eet_census census_64(const uint8_t *at, uint64_t count) {
    const uint64_t infinity = UINT64_C(0x7FF) << 52;
    eet_census c = {.nans = 0};

    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = 0;

        memcpy(&bits, at + 8 * i, sizeof bits);
        bits &= INT64_MAX;
        c.nans += bits > infinity ? 1 : 0;
        c.infinities += bits == infinity ? 1 : 0;
    }
    return c;
}

/* The 8-bit ones, which end differently: from `first_nan` on NaN, from `infinity` on infinite. */
static eet_census census_8(const uint8_t *at, uint64_t count, uint8_t mask, uint8_t infinity,
                           uint8_t first_nan) {
    eet_census c = {.nans = 0};

    for (uint64_t i = 0; i < count; i++) {
        const uint8_t bits = at[i] & mask;

        c.nans += bits >= first_nan ? 1 : 0;
        c.infinities += bits < first_nan && bits >= infinity ? 1 : 0;
    }
    return c;
}

eet_census eet_census_of(const eet_file_tensor *tensor) {
    const uint64_t count = eet_tensor_elements(tensor);

    switch (tensor->dtype) {
    case EET_F16:
        return census_16(tensor->data, count, 0x7C00);
    case EET_BF16:
        return census_16(tensor->data, count, 0x7F80);
    case EET_F32:
        return census_32(tensor->data, count);
    case EET_F64:
        return census_64(tensor->data, count);
    case EET_F8_E4M3: /* has no infinity */
        return census_8(tensor->data, count, 0x7F, 0x7F, 0x7F);
    case EET_F8_E5M2:
        return census_8(tensor->data, count, 0x7F, 0x7C, 0x7D);
    case EET_F8_E8M0: /* powers of two without a sign */
        return census_8(tensor->data, count, 0xFF, 0xFF, 0xFF);
    default:
        return (eet_census){.nans = 0};
    }
}
