/* inspect_text.c - what a .eet file holds, as tables for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/text.h"
#include "format/commands/inspect.h"
#include "format/commands/values.h"
#include "format/facts_table.h"
#include "format/slots.h"

enum { LINE = 512 };

eet_inspect_dtypes eet_inspect_count_dtypes(const eet_file *file) {
    eet_inspect_dtypes dtypes = {{0}};

    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor tensor = eet_file_tensor_at(file, i);

        dtypes.count[(uint8_t)tensor.dtype] += tensor.alias_of < 0 ? 1 : 0;
    }
    return dtypes;
}

/* ---- the summary -------------------------------------------------------- */

/* "1,234,567" */
static const char *grouped(char *out, size_t room, uint64_t value) {
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t used = 0;

    for (int i = 0; i < length && used + 2 < room; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            out[used++] = ',';
        }
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

static void print_dtypes(const eet_file *file) {
    const eet_inspect_dtypes dtypes = eet_inspect_count_dtypes(file);
    const char *comma = "";

    (void)printf("dtypes      ");
    for (int i = 0; i < 256; i++) {
        if (dtypes.count[i] > 0) {
            (void)printf("%s%s %d", comma, eet_dtype_name((eet_dtype)i), (int)dtypes.count[i]);
            comma = ", ";
        }
    }
    (void)putchar('\n');
}

static void print_summary(const eet_file *file, const char *path) {
    const eet_file_totals totals = eet_file_sum(file);
    int32_t major = 0;
    int32_t minor = 0;
    int32_t least = 0;
    eet_shown shown;
    eet_size_text size;
    eet_hex_text hex;
    char number[48];

    eet_file_version(file, &major, &minor, &least);
    (void)printf("file        %s\n", eet_show(&shown, path, strlen(path)));
    (void)printf("size        %s (%s bytes)\n", eet_format_size(&size, eet_file_bytes(file)),
                 grouped(number, sizeof number, eet_file_bytes(file)));
    (void)printf("format      %d.%d\n", (int)major, (int)minor);
    (void)printf("family      %s\n", eet_show(&shown, eet_file_facts(file)->family,
                                              strlen(eet_file_facts(file)->family)));
    (void)printf("content     sha256:%s\n", eet_format_sha256(&hex, eet_file_content_sha256(file)));
    (void)printf("weights     sha256:%s\n", eet_format_sha256(&hex, eet_file_weights_sha256(file)));
    (void)printf("tensors     %d, %d of them aliases; %s\n", (int)totals.tensors,
                 (int)totals.aliases, eet_format_size(&size, totals.bytes));
    (void)printf("parameters  %s\n", grouped(number, sizeof number, totals.parameters));
    print_dtypes(file);
}

/* ---- facts and heads ---------------------------------------------------- */

/* The value of a key of META as text; "-" when it is not there. */
static char *value_text(const eet_file *file, const char *key) {
    char *text = NULL;
    size_t bytes = 0;
    eet_kv entry;
    FILE *stream = open_memstream(&text, &bytes);

    if (stream == NULL) {
        return NULL;
    }
    if (eet_kv_find(eet_file_meta(file), key, &entry)) {
        eet_value_print(&entry, stream);
    } else {
        (void)fputc('-', stream);
    }
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void add_fact(eet_table *table, const eet_file *file, const char *name) {
    const eet_facts *facts = eet_file_facts(file);
    const char *cells[1 + EET_STACKS] = {name};
    char *texts[EET_STACKS] = {NULL, NULL};
    int columns = 1;
    eet_fact_key key;

    for (int s = 0; s < EET_STACKS; s++) {
        if (facts->stack[s].present) {
            texts[s] = value_text(file, eet_fact_stack_key(&key, s, name));
            cells[columns++] = texts[s];
        }
    }
    eet_table_row(table, cells);
    free(texts[0]);
    free(texts[1]);
}

static eet_status print_facts(const eet_file *file, eet_error *err) {
    static const bool right[1 + EET_STACKS] = {false, false, false};
    const eet_facts *facts = eet_file_facts(file);
    const char *header[1 + EET_STACKS] = {"fact"};
    int32_t columns = 1;
    int rows = 0;
    const eet_fact_row *row = eet_fact_rows(&rows);

    for (int s = 0; s < EET_STACKS; s++) {
        if (facts->stack[s].present) {
            header[columns++] = eet_fact_stack_names()[s];
        }
    }
    eet_table *table = eet_table_create(columns, header, right);

    for (int i = 0; i < rows; i++) {
        if (facts->stack[EET_DEC].present || !row[i].dec_only) {
            add_fact(table, file, row[i].key);
        }
    }
    (void)putchar('\n');
    return eet_table_end(table, stdout, err);
}

/* "dense+norm+out": the parts that a head has, and the width of what it gives. */
static uint64_t head_parts(const eet_file *file, int32_t head, char *out, size_t room) {
    static const struct {
        int slot;
        const char *name;
    } parts[] = {
        {EET_SLOT_HEAD_DENSE, "dense"}, {EET_SLOT_HEAD_NORM, "norm"}, {EET_SLOT_HEAD_OUT, "out"}};
    const eet_facts *facts = eet_file_facts(file);
    uint64_t width = (uint64_t)facts->stack[facts->head[head].stack].hidden;
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        eet_file_tensor weight;

        if (eet_file_tensor_bound(file, eet_role(EET_GROUP_HEAD, parts[i].slot, false), head,
                                  &weight)) {
            used += (size_t)snprintf(out + used, room - used, "%s%s", used == 0 ? "" : "+",
                                     parts[i].name);
            width = weight.dims[0];
        }
    }
    if (used == 0) {
        (void)snprintf(out, room, "-");
    }
    return width;
}

static eet_status print_heads(const eet_file *file, eet_error *err) {
    static const char *const header[] = {"head",  "stack",     "take",  "act",
                                         "parts", "normalize", "width", "labels"};
    static const bool right[] = {false, false, false, false, false, false, true, true};
    const eet_facts *facts = eet_file_facts(file);
    eet_table *table = eet_table_create(8, header, right);
    int32_t count = 0;
    const char *const *acts = eet_fact_act_names(&count);
    const char *const *takes = eet_fact_take_names(&count);

    for (int32_t i = 0; i < facts->heads; i++) {
        const eet_head_facts *head = &facts->head[i];
        char parts[24];
        char width[24];
        char labels[16];

        (void)snprintf(width, sizeof width, "%" PRIu64, head_parts(file, i, parts, sizeof parts));
        (void)snprintf(labels, sizeof labels, "%d", (int)head->label_count);
        const char *cells[] = {head->name,
                               eet_fact_stack_names()[head->stack],
                               takes[head->take],
                               acts[head->act],
                               parts,
                               head->normalize ? "yes" : "no",
                               width,
                               labels};

        eet_table_row(table, cells);
    }
    (void)putchar('\n');
    return eet_table_end(table, stdout, err);
}

/* ---- lists -------------------------------------------------------------- */

static eet_status print_assets(const eet_file *file, eet_error *err) {
    static const char *const header[] = {"asset", "kind", "size"};
    static const bool right[] = {false, false, true};
    eet_table *table = eet_table_create(3, header, right);

    for (int32_t i = 0; i < eet_file_assets(file); i++) {
        const eet_file_asset asset = eet_file_asset_at(file, i);
        eet_size_text size;
        const char *cells[] = {asset.name, asset.functional ? "functional" : "informative",
                               eet_format_size(&size, asset.bytes)};

        eet_table_row(table, cells);
    }
    (void)putchar('\n');
    return eet_table_end(table, stdout, err);
}

static eet_status print_sections(const eet_file *file, eet_error *err) {
    static const char *const header[] = {"section", "offset", "stored", "raw", "codec", "required"};
    static const bool right[] = {false, true, true, true, false, false};
    eet_table *table = eet_table_create(6, header, right);

    for (int32_t i = 0; i < eet_file_sections(file); i++) {
        const eet_file_section s = eet_file_section_at(file, i);
        char offset[24];
        eet_size_text stored;
        eet_size_text raw;
        const char *cells[] = {s.type,
                               offset,
                               eet_format_size(&stored, s.stored_bytes),
                               eet_format_size(&raw, s.raw_bytes),
                               s.codec == 0 ? "raw" : "zlib",
                               (s.flags & 1) != 0 ? "yes" : "no"};

        (void)snprintf(offset, sizeof offset, "%" PRIu64, s.offset);
        eet_table_row(table, cells);
    }
    (void)putchar('\n');
    return eet_table_end(table, stdout, err);
}

static eet_status print_tensors(const eet_file *file, eet_error *err) {
    static const char *const header[] = {"tensor", "dtype", "shape", "size", "note"};
    static const bool right[] = {false, false, false, true, false};
    eet_table *table = eet_table_create(5, header, right);

    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor t = eet_file_tensor_at(file, i);
        eet_shape_text shape;
        eet_size_text size;
        char note[LINE] = "";

        if (t.alias_of >= 0) {
            (void)snprintf(note, sizeof note, "= %s", eet_file_tensor_at(file, t.alias_of).name);
        } else if ((t.flags & EET_TENSOR_SYNTH) != 0) {
            (void)snprintf(note, sizeof note, "computed");
        }
        const char *cells[] = {t.name, eet_dtype_name((eet_dtype)t.dtype),
                               eet_shape_format(&shape, &t),
                               t.alias_of >= 0 ? "-" : eet_format_size(&size, t.bytes), note};

        eet_table_row(table, cells);
    }
    (void)putchar('\n');
    return eet_table_end(table, stdout, err);
}

void eet_inspect_print_provenance(const eet_file *file) {
    const eet_kv_view *view = eet_file_provenance(file);

    for (uint32_t i = 0; view != NULL && i < view->count; i++) {
        const eet_kv entry = eet_kv_at(view, i);

        (void)printf("%.*s = ", (int)entry.key_bytes, entry.key);
        eet_value_print(&entry, stdout);
        (void)putchar('\n');
    }
}

eet_status eet_inspect_print(const eet_file *file, const char *path,
                             const eet_inspect_options *options, eet_error *err) {
    print_summary(file, path);
    eet_status status = print_facts(file, err);

    if (status == EET_OK && eet_file_facts(file)->heads > 0) {
        status = print_heads(file, err);
    }
    if (status == EET_OK && eet_file_assets(file) > 0) {
        status = print_assets(file, err);
    }
    if (status == EET_OK && options->sections) {
        status = print_sections(file, err);
    }
    if (status == EET_OK && !options->no_tensors) {
        status = print_tensors(file, err);
    }
    return status;
}
