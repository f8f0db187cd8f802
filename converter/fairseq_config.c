/* fairseq_config.c - the configuration that Fairseq pickles with the weights, as JSON: a Namespace
 * of arguments, or what OmegaConf makes of them (DictConfig, plain dicts, a Namespace inside). */
#include <stdlib.h>
#include <string.h>

#include "converter/arch.h"
#include "converter/fairseq.h"
#include "format/cli/json.h"

enum { MAX_TEXT = 2048, MAX_KEYS = 65536, MAX_ITEMS = 1024, MAX_WRAPS = 8, MAX_STEPS = 16 };

/* Keys that no family reads and that say something all the same. */
static const char *const told[] = {"tokens_per_sample", "max_positions"};

typedef struct gathering {
    const eet_pickle_node *cfg; /* where interpolations start, or NULL */
    eet_json *out;
    eet_error *err;
} gathering;

/* ---- nodes ---------------------------------------------------------------- */

static const eet_pickle_node *member(const eet_pickle_node *map, const char *key) {
    const eet_pickle_node *found = NULL;

    return map != NULL && eet_pickle_find(map, key, &found, NULL) == EET_OK ? found : NULL;
}

/* What is in an object of OmegaConf, or an enumeration's value: Python writes Kind("relu"), and
 * getattr(Kind, "relu"), as those of Fairseq have one text for name and value. NULL: not known. */
static const eet_pickle_node *inside(const eet_pickle_node *call) {
    const eet_pickle_node *state = eet_pickle_state(call);
    const eet_pickle_node *arguments = eet_pickle_arguments(call);
    const eet_pickle_node *content = member(state, "_content");

    content = content != NULL ? content : member(state, "_val");
    if (content != NULL || state != NULL) {
        return content;
    }
    if (eet_pickle_is_global(eet_pickle_callable(call), "builtins", "getattr")) {
        return eet_pickle_count(arguments) == 2 ? eet_pickle_item(arguments, 1) : NULL;
    }
    return eet_pickle_count(arguments) == 1 ? eet_pickle_item(arguments, 0) : NULL;
}

/* The value of such an object; another node, and one that is not known, as it is. */
static const eet_pickle_node *unwrap(const eet_pickle_node *node) {
    for (int i = 0; i < MAX_WRAPS && node != NULL; i++) {
        const eet_pickle_node *content =
            eet_pickle_kind_of(node) == EET_PICKLE_CALL ? inside(node) : NULL;

        if (content == NULL) {
            break;
        }
        node = content;
    }
    return node;
}

/* NUL-terminated; false where it is no text, too long or holds a NUL. */
static bool copy_text(const eet_pickle_node *node, char text[MAX_TEXT]) {
    uint32_t bytes = 0;
    const char *from = node != NULL && eet_pickle_kind_of(node) == EET_PICKLE_TEXT
                           ? eet_pickle_text(node, &bytes)
                           : NULL;

    if (from == NULL || bytes >= MAX_TEXT || memchr(from, '\0', bytes) != NULL) {
        return false;
    }
    memcpy(text, from, bytes);
    text[bytes] = '\0';
    return true;
}

/* "model.decoder.layers" below the configuration. */
static const eet_pickle_node *follow(const eet_pickle_node *from, char *path) {
    char *rest = NULL;

    for (char *name = strtok_r(path, ".", &rest); name != NULL && from != NULL;
         name = strtok_r(NULL, ".", &rest)) {
        from = unwrap(member(from, name));
    }
    return from;
}

/* The value that a node stands for: "${task.max_target_positions}" is another key's. */
static eet_status resolve(const gathering *g, const eet_pickle_node *node,
                          const eet_pickle_node **out) {
    char text[MAX_TEXT];

    node = unwrap(node);
    for (int step = 0; g->cfg != NULL && copy_text(node, text); step++) {
        const size_t length = strlen(text);

        if (strncmp(text, "${", 2) != 0 || text[length - 1] != '}') {
            break;
        }
        if (step == MAX_STEPS) {
            eet_shown shown;

            return eet_fail(g->err, EET_E_CORRUPT, EET_NOWHERE,
                            "the configuration's \"%s\" leads from key to key without an end",
                            eet_show(&shown, text, length));
        }
        text[length - 1] = '\0';
        node = follow(g->cfg, text + 2);
    }
    *out = node;
    return EET_OK;
}

/* ---- values --------------------------------------------------------------- */

static eet_json *list_of(const eet_pickle_node *list) {
    eet_json *array = eet_json_array();

    for (uint32_t i = 0; i < eet_pickle_count(list); i++) {
        const eet_pickle_node *item = unwrap(eet_pickle_item(list, i));
        char text[MAX_TEXT];
        int64_t integer = 0;
        double real = 0;

        if (item != NULL && eet_pickle_int(item, &integer)) {
            eet_json_append_integer(array, integer);
        } else if (item != NULL && eet_pickle_float(item, &real)) {
            eet_json_append_real(array, real);
        } else {
            eet_json_append_string(array, copy_text(item, text) ? text : "");
        }
    }
    return array;
}

/* A value without a counterpart in JSON is refused: a default in its place would be another. */
static eet_status set_value(const gathering *g, const char *key, const eet_pickle_node *value) {
    eet_json *out = g->out;
    eet_pickle_label label;
    char text[MAX_TEXT];
    int64_t integer = 0;
    double real = 0;
    bool flag = false;

    if (eet_pickle_bool(value, &flag)) {
        eet_json_set_bool(out, key, flag);
    } else if (eet_pickle_int(value, &integer)) {
        eet_json_set_integer(out, key, integer);
    } else if (eet_pickle_float(value, &real)) {
        eet_json_set_real(out, key, real);
    } else if (copy_text(value, text)) {
        eet_json_set_string(out, key, text);
    } else if (eet_pickle_kind_of(value) == EET_PICKLE_NONE) {
        eet_json_set_string(out, key, NULL);
    } else if ((eet_pickle_kind_of(value) == EET_PICKLE_LIST ||
                eet_pickle_kind_of(value) == EET_PICKLE_TUPLE) &&
               eet_pickle_count(value) <= MAX_ITEMS) {
        eet_json_set(out, key, list_of(value));
    } else {
        return eet_fail(g->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the configuration's \"%s\" is %s, which is not understood", key,
                        eet_pickle_describe(value, &label));
    }
    return EET_OK;
}

static bool rows_name(const eet_key_row *rows, const char *key) {
    for (; rows->kind != EET_KEY_END; rows++) {
        if (strcmp(rows->key, key) == 0 || (rows->alias != NULL && strcmp(rows->alias, key) == 0)) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const char *key) {
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (strcmp(told[i], key) == 0) {
            return true;
        }
    }
    for (int f = 0; eet_families[f] != NULL; f++) {
        if (rows_name(eet_families[f]->keys, key)) {
            return true;
        }
    }
    return false;
}

/* "decoder" and "layers" are "decoder_layers". */
static bool join(char name[2 * MAX_TEXT], const char *prefix, const eet_pickle_node *key) {
    const size_t length = strlen(prefix);

    memcpy(name, prefix, length);
    if (length > 0) {
        name[length] = '_';
    }
    return copy_text(key, name + length + (length > 0 ? 1 : 0));
}

/* The keys of a map that are not there yet: those before go first. */
static eet_status gather(gathering *g, const eet_pickle_node *map, const char *prefix) {
    char name[2 * MAX_TEXT];
    eet_status status = EET_OK;

    if (eet_pickle_count(map) > MAX_KEYS) {
        return eet_fail(g->err, EET_E_LIMIT, EET_NOWHERE,
                        "the configuration has %u keys; at most %d are read", eet_pickle_count(map),
                        MAX_KEYS);
    }
    for (uint32_t i = 0; status == EET_OK && i < eet_pickle_count(map); i++) {
        const eet_pickle_node *value = NULL;

        if (!join(name, prefix, eet_pickle_key(map, i)) || !is_wanted(name) ||
            eet_json_get(g->out, name) != NULL) {
            continue;
        }
        status = resolve(g, eet_pickle_value(map, i), &value);
        if (status == EET_OK && value != NULL && !eet_pickle_is_text(value, "???")) {
            status = set_value(g, name, value); /* "???" is OmegaConf's for a value not given */
        }
    }
    return status;
}

static eet_status gather_nested(gathering *g, const eet_pickle_node *map) {
    static const char *const parts[] = {"encoder", "decoder", "quant_noise", "adaptive_softmax",
                                        "langtoks"};
    eet_status status = gather(g, map, "");

    for (size_t i = 0; status == EET_OK && i < sizeof parts / sizeof parts[0]; i++) {
        const eet_pickle_node *inner = unwrap(member(map, parts[i]));

        if (inner != NULL && eet_pickle_kind_of(inner) == EET_PICKLE_DICT) {
            status = gather(g, inner, parts[i]);
        }
    }
    return status;
}

/* ---- defaults ------------------------------------------------------------- */

const eet_fairseq_arch *eet_fairseq_arch_named(const char *name) {
    for (const eet_fairseq_arch *a = eet_fairseq_archs; a->name != NULL; a++) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

const eet_fairseq_task *eet_fairseq_task_named(const char *name) {
    for (const eet_fairseq_task *t = eet_fairseq_tasks; t->name != NULL; t++) {
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

static void copy_value(eet_json *out, const char *key, const eet_json *from) {
    int64_t integer = 0;
    bool flag = false;

    if (eet_json_as_integer(from, &integer)) {
        eet_json_set_integer(out, key, integer);
    } else if (eet_json_as_bool(from, &flag)) {
        eet_json_set_bool(out, key, flag);
    } else if (from != NULL) {
        eet_json_set_string(out, key, eet_json_as_string(from, NULL));
    }
}

static void set_default(eet_json *out, const eet_fairseq_default *row) {
    const eet_json *there = eet_json_get(out, row->key);
    const char *value = row->value;

    if (there != NULL && !(row->of_null && eet_json_kind_of(there) == EET_JSON_NULL)) {
        return;
    }
    if (value[0] == '=') {
        copy_value(out, row->key, eet_json_get(out, value + 1));
    } else if (value[0] >= '0' && value[0] <= '9' && strchr(value, ',') == NULL) {
        eet_json_set_integer(out, row->key, strtol(value, NULL, 10));
    } else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) {
        eet_json_set_bool(out, row->key, value[0] == 't');
    } else {
        eet_json_set_string(out, row->key, strcmp(value, "null") == 0 ? NULL : value);
    }
}

/* Returns the family. */
static const char *set_defaults(eet_json *out, const eet_fairseq_arch *arch) {
    const char *family = NULL;

    while (arch != NULL) {
        for (const eet_fairseq_default *row = arch->defaults; row->key != NULL; row++) {
            set_default(out, row);
        }
        family = family != NULL ? family : arch->family;
        arch = arch->base != NULL ? eet_fairseq_arch_named(arch->base) : NULL;
    }
    return family;
}

static void set_model_type(eet_json *out, const char *arch_name) {
    const eet_fairseq_arch *arch = eet_fairseq_arch_named(arch_name);

    eet_json_set_string(out, "arch", arch_name);
    if (arch != NULL) {
        eet_json_set_string(out, "model_type", set_defaults(out, arch));
    } else {
        eet_json *names = eet_json_array();

        eet_json_append_string(names, arch_name); /* is refused by this name */
        eet_json_set(out, "architectures", names);
    }
}

/* ---- the checkpoint ------------------------------------------------------- */

/* Where a checkpoint says what its model is. */
typedef struct origin {
    const eet_pickle_node *model, *task, *common; /* maps; the last two may be NULL */
    const eet_pickle_node *cfg;
    char arch[MAX_TEXT], task_name[MAX_TEXT];
} origin;

static const eet_pickle_node *map_at(const eet_pickle_node *map, const char *key) {
    const eet_pickle_node *found = unwrap(member(map, key));

    return found != NULL && eet_pickle_kind_of(found) == EET_PICKLE_DICT ? found : NULL;
}

/* Under the first of two keys that holds a text; "" without. */
static void text_at(const eet_pickle_node *map, const char *key, const char *other,
                    char text[MAX_TEXT]) {
    if (!copy_text(unwrap(member(map, key)), text) &&
        !copy_text(unwrap(member(map, other)), text)) {
        text[0] = '\0';
    }
}

static bool find_origin(const eet_pickle_node *root, origin *out) {
    const eet_pickle_node *args = map_at(root, "args");

    *out = (origin){.cfg = args == NULL ? map_at(root, "cfg") : NULL};
    if (map_at(root, "model") == NULL || (args == NULL && out->cfg == NULL)) {
        return false;
    }
    out->model = args != NULL ? args : map_at(out->cfg, "model");
    out->task = args != NULL ? NULL : map_at(out->cfg, "task");
    out->common = args != NULL ? args : map_at(out->cfg, "common");
    if (out->model == NULL) {
        return false;
    }
    text_at(out->model, args != NULL ? "arch" : "_name", "arch", out->arch);
    text_at(args != NULL ? args : out->task, args != NULL ? "task" : "_name", "task",
            out->task_name);
    return out->arch[0] != '\0';
}

static eet_status refuse_parts(const eet_pickle_node *root, const origin *from, eet_error *err) {
    const eet_pickle_node *parts = unwrap(member(from->common, "model_parallel_size"));
    const eet_pickle_node *shard = member(root, "fsdp_metadata");
    int64_t count = 1;

    if (shard == NULL) {
        shard = member(root, "shard_metadata");
    }
    if (shard != NULL && eet_pickle_kind_of(shard) != EET_PICKLE_NONE) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "it is a shard of Fairseq's fully_sharded training; consolidate the shards "
                        "with fairseq's scripts/consolidate_fsdp_shards.py first");
    }
    if (parts != NULL && eet_pickle_int(parts, &count) && count > 1) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "it is one of %lld parts of a model-parallel checkpoint of Fairseq",
                        (long long)count);
    }
    return EET_OK;
}

static eet_status write_text(eet_json *root, char **text, uint64_t *bytes, eet_error *err) {
    size_t size = 0;
    FILE *stream = open_memstream(text, &size);

    if (stream == NULL) {
        eet_json_free(root);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the configuration");
    }
    eet_status status = eet_json_write(root, stream, false, err);

    if (fclose(stream) != 0 && status == EET_OK) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the configuration");
    }
    *bytes = size;
    if (status != EET_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

eet_status eet_fairseq_config(const eet_pickle_node *root, char **text, uint64_t *bytes,
                              eet_error *err) {
    origin from;

    *text = NULL;
    *bytes = 0;
    if (!find_origin(root, &from)) {
        return EET_OK;
    }
    gathering g = {from.cfg, NULL, err};
    eet_status status = refuse_parts(root, &from, err);

    if (status != EET_OK) {
        return status;
    }
    g.out = eet_json_object();
    if (from.task_name[0] != '\0') {
        eet_json_set_string(g.out, "task", from.task_name);
    }
    status = gather_nested(&g, from.model);
    if (status == EET_OK && from.task != NULL) {
        status = gather(&g, from.task, "");
    }
    if (status != EET_OK) {
        eet_json_free(g.out);
        return status;
    }
    set_model_type(g.out, from.arch);
    return write_text(g.out, text, bytes, err);
}
