/* config.c - reads a configuration by a family's table of keys. */
#include "converter/config.h"

#include <math.h>
#include <string.h>

#include "converter/config_internal.h"

/* What follows from the sizes: the heads' own, and the scale of attention. */
static eet_status derive(const eet_config_reading *r, int s) {
    eet_stack_facts *f = &r->out->facts.stack[s];
    const eet_family *family = r->out->family;

    if (f->head_dim == 0) {
        if (f->heads < 1 || f->hidden % f->heads != 0) {
            return eet_fail(
                r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" %d is no multiple of \"%s\" %d",
                eet_config_key_of(family, s, offsetof(eet_stack_facts, hidden)), (int)f->hidden,
                eet_config_key_of(family, s, offsetof(eet_stack_facts, heads)), (int)f->heads);
        }
        f->head_dim = f->hidden / f->heads;
    }
    const double most = eet_config_fact_row(offsetof(eet_stack_facts, head_dim))->high;

    if (f->head_dim > most) {
        return eet_fail(r->err, EET_E_LIMIT, EET_NOWHERE,
                        "\"%s\" %d over \"%s\" %d gives heads of %d; at most %.0f are read",
                        eet_config_key_of(family, s, offsetof(eet_stack_facts, hidden)),
                        (int)f->hidden,
                        eet_config_key_of(family, s, offsetof(eet_stack_facts, heads)),
                        (int)f->heads, (int)f->head_dim, most);
    }
    if (f->cross && f->cross_dim == 0) {
        f->cross_dim = f->hidden; /* what a decoder looks at is as wide as it is, if no key tells */
    }
    f->attn_scale = r->scaled[s] ? 1.0 / sqrt((double)f->head_dim) : 1.0;
    return EET_OK;
}

/* "architectures": null, or an array of one name. */
static eet_status named_class(const eet_config_reading *r, const char **name) {
    const eet_json *list = eet_json_get(r->root, "architectures");

    *name = NULL;
    if (eet_config_is_absent(list)) {
        return EET_OK;
    }
    if (eet_json_kind_of(list) != EET_JSON_ARRAY) {
        return eet_config_corrupt_kind(r, "architectures", list, "an array");
    }
    if (eet_json_length(list) > 1) {
        return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "\"architectures\" names %llu; --arch NAME decides for one",
                        (unsigned long long)eet_json_length(list));
    }
    if (eet_json_length(list) == 1) {
        *name = eet_json_as_string(eet_json_item(list, 0), NULL);
        if (*name == NULL) {
            return eet_config_corrupt_kind(r, "architectures", eet_json_item(list, 0), "a string");
        }
    }
    return EET_OK;
}

static eet_status unknown(const eet_config_reading *r, const char *what, const char *name) {
    eet_shown shown;

    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s \"%s\" is not supported; --print-supported-models lists what is", what,
                    eet_show(&shown, name, strlen(name)));
}

static eet_status choose_by_flag(const eet_config_reading *r, const char *arch) {
    eet_config *out = r->out;

    out->by_flag = true;
    out->class = eet_class_named(arch, &out->family);
    if (out->class == NULL) {
        out->family = eet_family_named(arch);
    }
    return out->family != NULL ? EET_OK : unknown(r, "--arch", arch);
}

static eet_status choose_by_keys(const eet_config_reading *r) {
    for (int f = 0; eet_families[f] != NULL; f++) {
        const char *sign = eet_families[f]->config_sign;

        if (sign != NULL && eet_json_get(r->root, sign) != NULL) {
            r->out->family = eet_families[f];
            return EET_OK;
        }
    }
    return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                    "neither \"architectures\" nor \"model_type\" says what the model is; "
                    "--arch NAME does");
}

static eet_status choose(const eet_config_reading *r, const char *arch) {
    eet_config *out = r->out;
    const eet_json *type = eet_json_get(r->root, "model_type");
    const char *name = NULL;

    if (arch != NULL) {
        return choose_by_flag(r, arch);
    }
    if (!eet_config_is_absent(eet_json_get(r->root, "auto_map"))) {
        return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "\"auto_map\" asks for code of the checkpoint's own, which is never run; "
                        "--arch NAME reads it as one of the models that are known");
    }
    const eet_status status = named_class(r, &name);

    if (status != EET_OK) {
        return status;
    }
    if (!eet_config_is_absent(type) && eet_json_as_string(type, NULL) == NULL) {
        return eet_config_corrupt_kind(r, "model_type", type, "a string");
    }
    if (name != NULL) {
        out->class = eet_class_named(name, &out->family);
        if (out->class == NULL) {
            return unknown(r, "architecture", name);
        }
    }
    if (eet_config_is_absent(type)) {
        return out->class != NULL ? EET_OK : choose_by_keys(r);
    }
    const eet_family *family = eet_family_named(eet_json_as_string(type, NULL));

    if (family == NULL) {
        return unknown(r, "model type", eet_json_as_string(type, NULL));
    }
    if (out->class != NULL && family != out->family) {
        return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "\"model_type\" is \"%s\", but %s is of \"%s\"; --arch NAME decides",
                        family->name, out->class->name, out->family->name);
    }
    out->family = family;
    return EET_OK;
}

/* "is_decoder": the same tensors, in another stack. */
static eet_status choose_sibling(const eet_config_reading *r) {
    const eet_family *family = r->out->family;
    const eet_json *value =
        family->sibling != NULL ? eet_json_get(r->root, family->sibling_key) : NULL;
    bool flag = false;

    if (!eet_config_is_absent(value) && !eet_json_as_bool(value, &flag)) {
        return eet_config_corrupt_kind(r, family->sibling_key, value, "true or false");
    }
    r->out->family = flag ? family->sibling : family;
    return EET_OK;
}

static eet_status read_keys(eet_config_reading *r, const eet_key_row *rows) {
    eet_status status = EET_OK;

    for (; status == EET_OK && rows->kind != EET_KEY_END; rows++) {
        status = eet_config_read_row(r, rows);
    }
    return status;
}

/* Does the family say itself what a key means? */
static bool has_key(const eet_family *family, const char *key) {
    const eet_key_row *row = family->keys;

    while (row->kind != EET_KEY_END && strcmp(row->key, key) != 0) {
        row++;
    }
    return row->kind != EET_KEY_END;
}

static eet_status read_common_keys(eet_config_reading *r) {
    eet_status status = EET_OK;

    for (const eet_key_row *row = eet_common_keys; status == EET_OK && row->kind != EET_KEY_END;
         row++) {
        status = has_key(r->out->family, row->key) ? EET_OK : eet_config_read_row(r, row);
    }
    return status;
}

eet_status eet_config_read(const eet_json *root, const char *arch, eet_config *out,
                           eet_notes *notes, eet_error *err) {
    eet_config config = {.tied = true};
    eet_config_reading r = {root, &config, {true, true}, notes, err};

    if (eet_json_kind_of(root) != EET_JSON_OBJECT) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "it is %s, expected an object",
                        eet_json_kind_name(eet_json_kind_of(root)));
    }
    eet_status status = choose(&r, arch);

    if (status == EET_OK) {
        status = choose_sibling(&r);
    }
    for (int s = 0; status == EET_OK && s < EET_STACKS; s++) {
        if (config.family->stack[s] != NULL) {
            config.facts.stack[s] = *config.family->stack[s];
        }
    }
    if (status == EET_OK) {
        status = read_common_keys(&r);
    }
    if (status == EET_OK) {
        (void)strncpy(config.facts.family, config.family->name, sizeof config.facts.family - 1);
        status = read_keys(&r, config.family->keys);
    }
    for (int s = 0; status == EET_OK && s < EET_STACKS; s++) {
        status = config.facts.stack[s].present ? derive(&r, s) : EET_OK;
    }
    if (status == EET_OK) {
        status = eet_labels_read(root, &config.labels, err);
    }
    if (status == EET_OK) {
        config.symbol[EET_SYM_LABELS] = config.labels.count;
        *out = config;
    }
    return status;
}

void eet_config_free(eet_config *config) {
    eet_labels_free(&config->labels);
    *config = (eet_config){0};
}

const char *eet_config_key_of(const eet_family *family, int stack, uint32_t fact) {
    for (const eet_key_row *row = family->keys; row->kind != EET_KEY_END; row++) {
        if (row->stack == stack && row->fact == fact &&
            (row->kind == EET_KEY_INTEGER || row->kind == EET_KEY_AFTER_PAD)) {
            return row->key;
        }
    }
    return NULL;
}
