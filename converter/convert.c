/* convert.c - the steps from a checkpoint to a .eet file. */
#include "converter/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "converter/input.h"
#include "format/cli/json.h"

enum { MAX_CONFIG = 16 << 20, MAX_ASSET = 256 << 20 };

/* ---- opening ------------------------------------------------------------ */

const char *eet_conversion_config_name(const eet_conversion *c) {
    return c->inputs.config != NULL ? eet_base_name(c->inputs.config)
                                    : eet_base_name(c->inputs.weights);
}

/* The checkpoint's own goes before a config.json that happens to lie beside it. */
static eet_status load_config(eet_conversion *c, eet_error *err) {
    const char *own = eet_source_config(c->source, &c->config_bytes);

    if (own != NULL && c->options.config == NULL) {
        free(c->inputs.config);
        c->inputs.config = NULL;
        c->config_text = malloc((size_t)c->config_bytes + 1);
        if (c->config_text == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the configuration");
        }
        memcpy(c->config_text, own, (size_t)c->config_bytes + 1);
        return EET_OK;
    }
    if (c->inputs.config == NULL) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "there is no config.json beside it; --config FILE names one");
    }
    return eet_read_small(c->inputs.config, c->options.follow_symlinks, MAX_CONFIG, &c->config_text,
                          &c->config_bytes, err);
}

static eet_status read_config(eet_conversion *c, eet_error *err) {
    eet_json *root = NULL;
    eet_status status = load_config(c, err);

    if (status == EET_OK) {
        status = eet_json_parse(c->config_text, c->config_bytes, &root, err);
    }
    if (status == EET_OK) {
        status = eet_config_read(root, c->options.arch, &c->config, &c->notes, err);
    }
    eet_json_free(root);
    eet_error_prefix(err, eet_conversion_config_name(c));
    return status;
}

/* A folder's error says which of its files; a file was named by the user. */
static void prefix_weights(const eet_conversion *c, eet_error *err) {
    if (c->inputs.is_folder) {
        eet_error_prefix(err, eet_base_name(c->inputs.weights));
    }
}

static eet_status open_source(eet_conversion *c, eet_error *err) {
    const eet_status status =
        eet_source_open(c->inputs.weights, c->options.follow_symlinks, &c->source, err);

    if (status != EET_OK) {
        prefix_weights(c, err);
        return status;
    }
    for (int32_t i = 0; i < eet_source_warnings(c->source); i++) {
        eet_notes_add(&c->notes, "%s", eet_source_warning(c->source, i));
    }
    return EET_OK;
}

static eet_status make_plan(eet_conversion *c, eet_error *err) {
    eet_status status = eet_conversion_versions(c, err);

    if (status == EET_OK) {
        status = eet_match(c->source, &c->config, c->options.allow_unused, &c->plan, err);
    }
    if (status == EET_OK) {
        status = eet_settle_twins(c->source, &c->plan, err);
    }
    prefix_weights(c, err);
    return status;
}

static eet_status make_numbers(eet_conversion *c, eet_error *err) {
    c->number = calloc((size_t)c->plan.places + 1, sizeof *c->number);
    return c->number != NULL ? EET_OK
                             : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a plan");
}

static eet_status read_sentence(eet_conversion *c, const char *folder, eet_error *err) {
    return eet_sentence_read(folder, !c->options.no_sentence_head, c->options.follow_symlinks,
                             &c->sentence, &c->notes, err);
}

/* A folder's modules say where in it the model is. Those beside a file are its own where
 * they say that it lies right there. */
static eet_status find_inputs(eet_conversion *c, const char *operand, eet_error *err) {
    const eet_convert_options *o = &c->options;
    struct stat about;
    const bool is_folder = stat(operand, &about) == 0 && S_ISDIR(about.st_mode);
    eet_status status = is_folder ? read_sentence(c, operand, err) : EET_OK;

    if (status == EET_OK) {
        status = eet_inputs_find(operand, c->sentence.inside != NULL ? c->sentence.inside : "",
                                 o->config, o->weights, &c->inputs, &c->notes, err);
    }
    if (status == EET_OK && !is_folder && c->inputs.folder != NULL) {
        status = read_sentence(c, c->inputs.folder, err);
        if (c->sentence.inside != NULL && c->sentence.inside[0] != '\0') {
            eet_sentence_free(&c->sentence);
        }
    }
    return status;
}

static eet_status attach_sentence(eet_conversion *c, eet_error *err) {
    return c->sentence.head
               ? eet_sentence_attach(&c->sentence, c->options.follow_symlinks, &c->plan, err)
               : EET_OK;
}

eet_status eet_conversion_open(const char *operand, const eet_convert_options *options,
                               eet_conversion *out, eet_error *err) {
    *out = (eet_conversion){.options = *options};
    eet_status status = find_inputs(out, operand, err);

    if (status == EET_OK) {
        status = open_source(out, err);
    }
    if (status == EET_OK) {
        status = read_config(out, err);
    }
    if (status == EET_OK) {
        status = make_plan(out, err);
    }
    if (status == EET_OK) {
        status = eet_conversion_dictionaries(out, err);
    }
    if (status == EET_OK) {
        status = attach_sentence(out, err);
    }
    return status == EET_OK ? make_numbers(out, err) : status;
}

void eet_conversion_free(eet_conversion *c) {
    eet_plan_free(&c->plan);
    eet_source_close(c->source);
    eet_inputs_free(&c->inputs);
    eet_notes_free(&c->notes);
    eet_config_free(&c->config);
    eet_sentence_free(&c->sentence);
    free(c->config_text);
    free(c->number);
    free(c->digests);
    *c = (eet_conversion){0};
}

/* ---- declaring ---------------------------------------------------------- */

/* A file of `folder`, if it is there. */
static eet_status declare_asset(eet_conversion *c, eet_writer *writer, const char *folder,
                                const eet_asset_row *row, bool *there, eet_error *err) {
    char *path = eet_path_join(folder, row->name);
    char *bytes = NULL;
    uint64_t size = 0;
    struct stat about;

    if (path == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    *there = lstat(path, &about) == 0;
    if (!*there) {
        const int number = errno;

        free(path);
        return number == ENOENT ? EET_OK
                                : eet_fail_errno(err, number, "%s cannot be read", row->name);
    }
    eet_status status =
        eet_read_small(path, c->options.follow_symlinks, MAX_ASSET, &bytes, &size, err);

    if (status != EET_OK) {
        eet_error_prefix(err, row->name);
    } else {
        status = eet_writer_asset(writer, row->name, row->functional, bytes, size, err);
    }
    free(path);
    free(bytes);
    return status;
}

/* config.json is the one that was read, wherever it lies. Where modules put the model into
 * a folder of its own, some assets lie above it. */
static bool is_asset_row(const char *name) {
    for (int i = 0; eet_asset_rows[i].name != NULL; i++) {
        if (strcmp(eet_asset_rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of languages, whose names no table has. */
static eet_status declare_dictionaries(eet_conversion *c, eet_writer *writer, eet_error *err) {
    const eet_dictionary_file *file = c->config.dictionary;
    eet_status status = EET_OK;

    for (int s = 0; status == EET_OK && c->inputs.folder != NULL && s < EET_STACKS; s++) {
        const eet_asset_row row = {file[s].name, true};
        const bool is_second = s > 0 && strcmp(file[0].name, file[s].name) == 0;
        bool there = false;

        if (row.name[0] != '\0' && !is_second && !is_asset_row(row.name)) {
            status = declare_asset(c, writer, c->inputs.folder, &row, &there, err);
        }
    }
    return status;
}

static eet_status declare_assets(eet_conversion *c, eet_writer *writer, eet_error *err) {
    const bool is_inside = c->sentence.inside != NULL && c->sentence.inside[0] != '\0';
    eet_status status =
        eet_writer_asset(writer, "config.json", false, c->config_text, c->config_bytes, err);

    for (int i = 0; status == EET_OK && c->inputs.folder != NULL && eet_asset_rows[i].name != NULL;
         i++) {
        const eet_asset_row *row = &eet_asset_rows[i];
        bool there = strcmp(row->name, "config.json") == 0;

        if (!there) {
            status = declare_asset(c, writer, c->inputs.folder, row, &there, err);
        }
        if (status == EET_OK && !there && is_inside) {
            status = declare_asset(c, writer, c->sentence.folder, row, &there, err);
        }
    }
    return status == EET_OK ? declare_dictionaries(c, writer, err) : status;
}

/* Of a place as it will be written. */
static uint64_t bytes_of(const eet_conversion *c, int32_t p) {
    const eet_place *place = &c->plan.place[p];
    eet_dtype dtype = EET_DTYPE_NONE;

    (void)eet_emit_dtype(c->source, &c->plan, p, &c->options.emit, &dtype, NULL);
    return place->dims[0] * (place->rank > 1 ? place->dims[1] : 1) * eet_dtype_bytes(dtype);
}

static eet_status declare_place(eet_conversion *c, eet_writer *writer, int32_t p, eet_error *err) {
    const eet_place *place = &c->plan.place[p];
    eet_dtype dtype = EET_DTYPE_NONE;
    eet_status status = eet_emit_dtype(c->source, &c->plan, p, &c->options.emit, &dtype, err);

    if (status != EET_OK) {
        return status;
    }
    const eet_writer_tensor tensor = {.role = place->role,
                                      .layer = (int16_t)place->layer,
                                      .dtype = (int32_t)dtype,
                                      .rank = place->rank,
                                      .dims = {place->dims[0], place->dims[1]},
                                      .synth = place->sines >= 0,
                                      .alias_of = place->share >= 0 ? c->number[place->share] : -1};

    if (place->share < 0) {
        c->weight_bytes += bytes_of(c, p);
    }
    return eet_writer_tensor_add(writer, &tensor, &c->number[p], err);
}

static eet_status declare_provenance(eet_conversion *c, eet_writer *writer, eet_error *err) {
    eet_kv_builder *prov = eet_kv_builder_create();
    eet_status status = eet_conversion_provenance(c, prov, err);

    if (status == EET_OK) {
        status = eet_writer_provenance(writer, prov, err);
    }
    eet_kv_builder_free(prov);
    return status;
}

eet_status eet_conversion_declare(eet_conversion *c, eet_writer *writer, eet_error *err) {
    eet_status status = eet_writer_facts(writer, &c->plan.facts, err);

    if (status == EET_OK) {
        status = declare_assets(c, writer, err);
    }
    for (int32_t p = 0; status == EET_OK && p < c->plan.places; p++) {
        status = declare_place(c, writer, p, err);
    }
    if (status == EET_OK) {
        status = declare_provenance(c, writer, err);
    }
    return status == EET_OK ? eet_writer_plan(writer, err) : status;
}

/* ---- writing ------------------------------------------------------------ */

eet_status eet_conversion_write(eet_conversion *c, eet_writer *writer,
                                eet_convert_progress progress, void *context, eet_error *err) {
    eet_emitter emitter = {
        .source = c->source, .plan = &c->plan, .options = &c->options.emit, .writer = writer};
    eet_status status = EET_OK;
    uint64_t bytes = 0;

    for (int32_t p = 0; status == EET_OK && p < c->plan.places; p++) {
        const eet_place *place = &c->plan.place[p];

        if (place->share < 0) {
            status = eet_emit_place(&emitter, p, c->number[p], err);
            bytes += bytes_of(c, p);
        }
        progress(context, (uint64_t)p + 1, bytes);
    }
    eet_emit_end(&emitter);
    eet_source_drop_cache(c->source);
    c->stats = emitter.total;
    c->at_target = emitter.at_target;
    if (status == EET_OK) {
        status = eet_source_check(c->source, err);
    }
    for (int32_t i = 0; status == EET_OK && i < c->sentence.denses; i++) {
        status = eet_source_check(c->sentence.dense[i].source, err);
    }
    if (!c->at_target) {
        prefix_weights(c, err);
    }
    return status == EET_OK ? declare_provenance(c, writer, err) : status;
}
