/* torch_map.c - finds the map of tensors in what torch.save pickled, whatever the container,
 * and lists them. */
#include <stdlib.h>
#include <string.h>

#include "converter/fairseq.h"
#include "converter/foreign.h"
#include "converter/torch_internal.h"

enum { MAX_NAME = 512, MAX_UNWRAPPED = 4, TOLD = 8 };

/* What a map of tensors may lie under. */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "module"};
enum { WRAPPERS = sizeof wrappers / sizeof wrappers[0] };

static bool holds_tensors(const eet_pickle_node *map) {
    const uint32_t count = eet_pickle_kind_of(map) == EET_PICKLE_DICT ? eet_pickle_count(map) : 0;

    for (uint32_t i = 0; i < count; i++) {
        if (eet_torch_is_tensor(eet_pickle_value(map, i))) {
            return true;
        }
    }
    return false;
}

/* torch.save(model) instead of torch.save(model.state_dict()): an object whose state has
 * the parts of torch.nn.Module. */
static bool is_module(const eet_pickle_node *node) {
    const eet_pickle_node *state =
        eet_pickle_callable(node) == NULL ? NULL : eet_pickle_state(node);
    const eet_pickle_node *parameters = NULL;
    const eet_pickle_node *modules = NULL;

    return state != NULL && eet_pickle_find(state, "_parameters", &parameters, NULL) == EET_OK &&
           eet_pickle_find(state, "_modules", &modules, NULL) == EET_OK && parameters != NULL &&
           modules != NULL;
}

static eet_status refuse_module(const eet_pickle_node *node, eet_error *err) {
    eet_pickle_label label;

    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "the file holds a whole model (%s), not its weights; save model.state_dict()",
                    eet_pickle_describe(node, &label));
}

/* *inner: the map under one of the wrappers; `map` itself when there is none. */
static eet_status look_inside(const eet_pickle_node *map, const eet_pickle_node **inner,
                              const char **key, eet_error *err) {
    const eet_pickle_node *module = NULL;

    *inner = map;
    for (int i = 0; i < WRAPPERS; i++) {
        const eet_pickle_node *value = NULL;
        eet_status status = eet_pickle_find(map, wrappers[i], &value, err);

        if (status != EET_OK) {
            return status;
        }
        module = value != NULL && is_module(value) ? value : module;
        if (value == NULL || eet_pickle_kind_of(value) != EET_PICKLE_DICT) {
            continue;
        }
        const eet_pickle_node *below = NULL;

        status = eet_pickle_find(value, "state_dict", &below, err);
        if (status != EET_OK) {
            return status;
        }
        if (!holds_tensors(value) && (below == NULL || !holds_tensors(below))) {
            continue;
        }
        if (*inner != map) {
            return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                            "both \"%s\" and \"%s\" hold tensors; keep the one you want", *key,
                            wrappers[i]);
        }
        *inner = value;
        *key = wrappers[i];
    }
    return *inner == map && module != NULL && !holds_tensors(map) ? refuse_module(module, err)
                                                                  : EET_OK;
}

static eet_status find_map(eet_source *source, const eet_pickle_node *root,
                           const eet_pickle_node **out, eet_error *err) {
    const eet_pickle_node *top = root;
    eet_pickle_label label;
    eet_status status = EET_OK;

    if (is_module(root)) {
        return refuse_module(root, err);
    }
    if (eet_pickle_kind_of(root) != EET_PICKLE_DICT) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the file holds %s, not a map of tensors",
                        eet_pickle_describe(root, &label));
    }
    for (int depth = 0; status == EET_OK && depth < MAX_UNWRAPPED; depth++) {
        const eet_pickle_node *inner = root;
        const char *key = NULL;

        status = look_inside(root, &inner, &key, err);
        if (status != EET_OK || inner == root) {
            break;
        }
        if (eet_pickle_count(root) > 1 && source->config == NULL) {
            status =
                eet_source_warn(source, err, "only \"%s\" is read of the %u values in the file",
                                key, eet_pickle_count(root));
        }
        root = inner;
    }
    if (status == EET_OK && !holds_tensors(root)) {
        status = eet_foreign_check_map(top, err);
        if (status != EET_OK) {
            return status;
        }
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the file holds no map of tensors, neither at its top nor under "
                        "\"state_dict\", \"model_state_dict\", \"model\" or \"module\"");
    }
    *out = root;
    return status;
}

static int by_text(const void *a, const void *b) {
    uint32_t left_bytes = 0;
    uint32_t right_bytes = 0;
    const char *left = eet_pickle_text(*(const eet_pickle_node *const *)a, &left_bytes);
    const char *right = eet_pickle_text(*(const eet_pickle_node *const *)b, &right_bytes);
    const uint32_t common = left_bytes < right_bytes ? left_bytes : right_bytes;
    const int order = memcmp(left, right, common);

    return order != 0 ? order : (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

/* Names are strings, not endless, and each stands there once: Python would keep the last
 * of two, and show neither. */
static eet_status check_keys(const eet_pickle_node *map, eet_error *err) {
    const uint32_t count = eet_pickle_count(map);
    const eet_pickle_node **keys = malloc(count * sizeof *keys + 1);
    eet_status status = EET_OK;
    eet_shown shown;
    uint32_t bytes = 0;

    if (keys == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the names of tensors");
    }
    for (uint32_t i = 0; status == EET_OK && i < count; i++) {
        keys[i] = eet_pickle_key(map, i);
        (void)eet_pickle_text(keys[i], &bytes);
        if (eet_pickle_kind_of(keys[i]) != EET_PICKLE_TEXT) {
            status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                              "a name in the state dict is %s, not a string",
                              eet_pickle_kind_name(keys[i]));
        } else if (bytes > MAX_NAME) {
            status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                              "a name in the state dict has %u bytes; at most %d are allowed",
                              bytes, MAX_NAME);
        }
    }
    if (status == EET_OK) {
        qsort(keys, count, sizeof *keys, by_text);
    }
    for (uint32_t i = 1; status == EET_OK && i < count; i++) {
        if (by_text(&keys[i - 1], &keys[i]) == 0) {
            const char *text = eet_pickle_text(keys[i], &bytes);

            status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                              "the name \"%s\" stands twice in the state dict",
                              eet_show(&shown, text, bytes));
        }
    }
    free(keys);
    return status;
}

static eet_status add_tensor(eet_source *source, const eet_pickle_node *key,
                             const eet_pickle_node *value, eet_error *err) {
    eet_source_tensor tensor;
    uint32_t bytes = 0;
    const char *name = eet_pickle_text(key, &bytes);
    eet_status status = eet_torch_rebuild(source->state, value, &tensor, err);

    if (status != EET_OK) {
        char prefix[sizeof(eet_shown) + 16] = "tensor \"";
        eet_shown shown;

        strcat(prefix, eet_show(&shown, name, bytes));
        strcat(prefix, "\"");
        eet_error_prefix(err, prefix);
        return status;
    }
    tensor.name = name;
    tensor.name_bytes = bytes;
    return eet_source_add(source, &tensor, err);
}

static eet_status add_all(eet_source *source, const eet_pickle_node *map, eet_error *err) {
    eet_status status = check_keys(map, err);
    uint32_t skipped = 0;

    for (uint32_t i = 0; status == EET_OK && i < eet_pickle_count(map); i++) {
        const eet_pickle_node *key = eet_pickle_key(map, i);
        const eet_pickle_node *value = eet_pickle_value(map, i);
        eet_pickle_label label;
        eet_shown shown;
        uint32_t bytes = 0;
        const char *name = eet_pickle_text(key, &bytes);

        if (eet_torch_is_tensor(value)) {
            status = add_tensor(source, key, value, err);
        } else if (!eet_pickle_is_text(key, "_metadata") && ++skipped <= TOLD) {
            status =
                eet_source_warn(source, err, "\"%s\" is skipped: it is %s, no tensor",
                                eet_show(&shown, name, bytes), eet_pickle_describe(value, &label));
        }
    }
    if (status == EET_OK && skipped > TOLD) {
        status = eet_source_warn(source, err, "%u more values are skipped that are no tensors",
                                 skipped - TOLD);
    }
    return status;
}

static eet_status warn_of_extras(eet_source *source, eet_error *err) {
    const eet_torch *torch = source->state;
    eet_status status = EET_OK;

    if (torch->hooks > 0) {
        status = eet_source_warn(source, err, "backward hooks of %llu tensors are ignored",
                                 (unsigned long long)torch->hooks);
    }
    if (status == EET_OK && torch->states > 0) {
        status = eet_source_warn(source, err, "attributes of %llu tensors are ignored",
                                 (unsigned long long)torch->states);
    }
    return status;
}

eet_status eet_torch_list(eet_source *source, const eet_pickle *pickle, eet_error *err) {
    const eet_pickle_node *map = NULL;
    eet_status status =
        eet_fairseq_config(eet_pickle_root(pickle), &source->config, &source->config_bytes, err);

    if (status == EET_OK) {
        status = find_map(source, eet_pickle_root(pickle), &map, err);
    }
    if (status == EET_OK) {
        status = eet_torch_collect(source->state, source, pickle, err);
    }
    if (status == EET_OK) {
        status = add_all(source, map, err);
    }
    if (status == EET_OK) {
        status = eet_foreign_check_zero(source, eet_pickle_root(pickle), err);
    }
    return status == EET_OK ? warn_of_extras(source, err) : status;
}
