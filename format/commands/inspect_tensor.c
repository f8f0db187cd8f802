/* inspect_tensor.c - one tensor of a .eet file: its entry, its numbers, its bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/signals.h"
#include "format/cli/text.h"
#include "format/commands/inspect.h"
#include "format/commands/tensor_json.h"
#include "format/commands/values.h"

enum { FIRST = 8, CHUNK = 1 << 16, NPY_ALIGN = 64, NPY_HEADER = 320 };

static eet_status refuse_dtype(const eet_file_tensor *tensor, const char *what, eet_error *err) {
    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s of dtype %s is not supported; --dump raw writes the stored bytes", what,
                    eet_dtype_name((eet_dtype)tensor->dtype));
}

/* ---- telling ------------------------------------------------------------ */

static void print_entry(const eet_file *file, const eet_file_tensor *t) {
    eet_shape_text text;
    eet_size_text size;
    eet_hex_text hex;

    (void)printf("tensor      %s\n", t->name);
    (void)printf("dtype       %s\n", eet_dtype_name((eet_dtype)t->dtype));
    (void)printf("shape       %s\n", eet_shape_format(&text, t));
    (void)printf("size        %s (%" PRIu64 " bytes at byte %" PRIu64 ")\n",
                 eet_format_size(&size, t->bytes), t->bytes, t->offset);
    (void)printf("role        0x%04x, layer %d\n", t->role, t->layer);
    if (t->alias_of >= 0) {
        (void)printf("alias of    %s\n", eet_file_tensor_at(file, t->alias_of).name);
    }
    if ((t->flags & EET_TENSOR_SYNTH) != 0) {
        (void)puts("computed    by the converter, not trained");
    }
    (void)printf("xxh3        %s\n", eet_xxh3_format(&text, t->xxh3));
    (void)printf("sha256      %s\n", eet_format_sha256(&hex, t->sha256));
}

static void print_statistics(const eet_file_tensor *t) {
    const eet_statistics s = eet_statistics_of(t);

    (void)printf("min         %.9g\n", s.min);
    (void)printf("max         %.9g\n", s.max);
    (void)printf("mean        %.9g\n", s.mean);
    (void)printf("deviation   %.9g\n", s.deviation);
    (void)printf("zeros       %" PRIu64 " of %" PRIu64 "\n", s.zeros, s.count);
    (void)printf("NaN         %" PRIu64 "\n", s.nans);
    (void)printf("infinite    %" PRIu64 "\n", s.infinities);
    (void)printf("first      ");
    for (uint64_t i = 0; i < s.count && i < FIRST; i++) {
        (void)printf(" %.9g", eet_element_read(t->data, t->dtype, i));
    }
    (void)putchar('\n');
}

static eet_json *statistics_of(const eet_file_tensor *t) {
    const eet_statistics s = eet_statistics_of(t);
    eet_json *object = eet_json_object();
    eet_json *first = eet_json_array();

    for (uint64_t i = 0; i < s.count && i < FIRST; i++) {
        eet_json_append_real(first, eet_element_read(t->data, t->dtype, i));
    }
    eet_json_set_integer(object, "count", (int64_t)s.count);
    eet_json_set_real(object, "min", s.min);
    eet_json_set_real(object, "max", s.max);
    eet_json_set_real(object, "mean", s.mean);
    eet_json_set_real(object, "deviation", s.deviation);
    eet_json_set_integer(object, "zeros", (int64_t)s.zeros);
    eet_json_set_integer(object, "nan", (int64_t)s.nans);
    eet_json_set_integer(object, "infinite", (int64_t)s.infinities);
    eet_json_set(object, "first", first);
    return object;
}

static eet_status tell(const eet_file *file, const eet_file_tensor *tensor,
                       const eet_inspect_options *o, eet_error *err) {
    if (o->stats && !eet_element_readable(tensor->dtype)) {
        return refuse_dtype(tensor, "--stats", err);
    }
    if (!o->json) {
        print_entry(file, tensor);
        if (o->stats) {
            print_statistics(tensor);
        }
        return EET_OK;
    }
    eet_json *root = eet_json_object();

    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set(root, "tensor", eet_tensor_json(file, tensor));
    if (o->stats) {
        eet_json_set(root, "stats", statistics_of(tensor));
    }
    return eet_json_write(root, stdout, false, err);
}

eet_status eet_inspect_tensor(const eet_file *file, const eet_inspect_options *options,
                              eet_error *err) {
    eet_file_tensor tensor;
    eet_shown shown;

    if (!eet_file_tensor_named(file, options->tensor, &tensor)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "there is no tensor \"%s\" in the file; eet-inspect lists them",
                        eet_show(&shown, options->tensor, strlen(options->tensor)));
    }
    if (options->dump != NULL) {
        const eet_status status = eet_inspect_dump(&tensor, options, err);

        if (status != EET_OK) {
            return status;
        }
    }
    return tell(file, &tensor, options, err);
}

/* ---- dumping ------------------------------------------------------------ */

/* numpy's name of a dtype; bf16, which numpy has not, is widened to f32. */
static const char *npy_descr(int32_t dtype) {
    switch (dtype) {
    case EET_F32:
    case EET_BF16:
        return "<f4";
    case EET_F16:
        return "<f2";
    case EET_F64:
        return "<f8";
    case EET_I8:
        return "|i1";
    case EET_U8:
        return "|u1";
    case EET_I32:
        return "<i4";
    case EET_I64:
        return "<i8";
    case EET_U16:
        return "<u2";
    default:
        return NULL;
    }
}

/* The header of a .npy 1.0 file: magic, version, length, a Python dictionary, spaces up to a
 * multiple of 64 and a newline. Returns its length. */
static size_t npy_header(const eet_file_tensor *t, uint8_t out[NPY_HEADER]) {
    static const char magic[] = "\x93NUMPY\x01";
    char shape[160] = "";
    char text[NPY_HEADER];
    size_t used = 0;

    for (int32_t i = 0; i < t->rank; i++) {
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64 "%s",
                                 i == 0 ? "" : " ", t->dims[i],
                                 i + 1 < t->rank || t->rank == 1 ? "," : "");
    }
    const int length =
        snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                 npy_descr(t->dtype), shape);
    const size_t whole = (10 + (size_t)length + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;

    memset(out, ' ', whole);
    memcpy(out, magic, 7);
    out[7] = 0;
    out[8] = (uint8_t)((whole - 10) & 255);
    out[9] = (uint8_t)((whole - 10) >> 8);
    memcpy(out + 10, text, (size_t)length);
    out[whole - 1] = '\n';
    return whole;
}

/* bf16 as f32, in chunks: exact. */
static eet_status write_widened(const eet_target *target, uint64_t at, const eet_file_tensor *t,
                                eet_error *err) {
    const uint8_t *from = t->data;
    const uint64_t count = t->bytes / 2;
    uint32_t *wide = malloc(CHUNK * sizeof *wide);
    eet_status status = EET_OK;

    if (wide == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a dump");
    }
    for (uint64_t i = 0; i < count && status == EET_OK; i += CHUNK) {
        const uint64_t n = count - i < CHUNK ? count - i : CHUNK;

        for (uint64_t j = 0; j < n; j++) {
            uint16_t two = 0;

            memcpy(&two, from + 2 * (i + j), sizeof two);
            wide[j] = (uint32_t)two << 16;
        }
        status = eet_target_write(target, at + 4 * i, wide, 4 * n, err);
    }
    free(wide);
    return status;
}

static eet_status write_dump(const eet_target *target, const eet_file_tensor *t,
                             const uint8_t *header, size_t header_bytes, eet_error *err) {
    eet_status status = eet_target_write(target, 0, header, header_bytes, err);

    if (status != EET_OK) {
        return status;
    }
    if (header_bytes > 0 && t->dtype == EET_BF16) {
        return write_widened(target, header_bytes, t, err);
    }
    return eet_target_write(target, header_bytes, t->data, t->bytes, err);
}

eet_status eet_inspect_dump(const eet_file_tensor *tensor, const eet_inspect_options *options,
                            eet_error *err) {
    const bool npy = strcmp(options->dump, "npy") == 0;
    const uint64_t bytes = npy && tensor->dtype == EET_BF16 ? 2 * tensor->bytes : tensor->bytes;
    uint8_t header[NPY_HEADER];
    eet_target target = {.fd = -1};

    if (npy && npy_descr(tensor->dtype) == NULL) {
        return refuse_dtype(tensor, "--dump npy", err);
    }
    const size_t header_bytes = npy ? npy_header(tensor, header) : 0;
    eet_status status = eet_target_set(&target, options->output, err);

    if (status == EET_OK) {
        status = eet_signals_begin(&target, options->force, header_bytes + bytes, err);
    }
    if (status == EET_OK) {
        status = write_dump(&target, tensor, header, header_bytes, err);
    }
    if (status == EET_OK) {
        status = eet_target_commit(&target, options->force, false, err);
    }
    eet_signals_drop(&target);
    return status;
}
