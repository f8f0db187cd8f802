/* config.c - reads a config.json by a family's table of keys. */
#include "converter/config.h"

#include <math.h>
#include <string.h>

#include "format/facts_table.h"

typedef struct reading {
    const eet_json *root;
    eet_config *out;
    bool scaled[EET_STACKS];
    eet_notes *notes;
    eet_error *err;
} reading;

static bool is_absent(const eet_json *value) {
    return value == NULL || eet_json_kind_of(value) == EET_JSON_NULL;
}

static eet_status corrupt_kind(const reading *r, const char *key, const eet_json *value,
                               const char *expected) {
    return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %s, expected %s", key,
                    eet_json_kind_name(eet_json_kind_of(value)), expected);
}

static eet_status refuse(const reading *r, const eet_key_row *row) {
    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE, "%s (\"%s\") is not supported",
                    row->why, row->key);
}

/* The value under the row's key or its alias; both may be there when they agree. */
static eet_status look_up(const reading *r, const eet_key_row *row, const eet_json **value) {
    const eet_json *other = row->alias != NULL ? eet_json_get(r->root, row->alias) : NULL;
    int64_t a = 0;
    int64_t b = 0;

    *value = eet_json_get(r->root, row->key);
    if (is_absent(*value) && !is_absent(other)) {
        *value = other;
    }
    if (is_absent(*value)) {
        if (row->required) {
            return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is missing", row->key);
        }
        *value = NULL;
        return EET_OK;
    }
    if (!row->alias_yields && !is_absent(other) && eet_json_as_integer(*value, &a) &&
        eet_json_as_integer(other, &b) && a != b) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"%s\" is %lld, and its other name \"%s\" is %lld", row->key, (long long)a,
                        row->alias, (long long)b);
    }
    return EET_OK;
}

static const eet_fact_row *fact_row(uint32_t offset) {
    int count = 0;
    const eet_fact_row *rows = eet_fact_rows(&count);

    for (int i = 0; i < count; i++) {
        if (rows[i].offset == offset) {
            return &rows[i];
        }
    }
    return NULL;
}

static void *fact_of(const reading *r, const eet_key_row *row) {
    return (char *)&r->out->facts.stack[row->stack] + row->fact;
}

static eet_status read_integer(const reading *r, const eet_key_row *row, const eet_json *value) {
    const eet_fact_row *bounds = fact_row(row->fact);
    int64_t n = (int64_t)row->fallback;

    if (value == NULL && row->fallback_of != EET_SYM_NONE) {
        const char *stack = (const char *)&r->out->facts.stack[row->stack];

        n *= *(const int32_t *)(const void *)(stack + eet_symbol_fact(row->fallback_of));
    }
    if (value != NULL && !eet_json_as_integer(value, &n)) {
        return corrupt_kind(r, row->key, value, "an integer");
    }
    const double least = (bounds->low < 1 ? 1 : bounds->low) - row->plus; /* 0 would be unknown */
    const double most = bounds->high - row->plus;

    if ((double)n < least || (double)n > most) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %lld, expected %.0f to %.0f",
                        row->key, (long long)n, least, most);
    }
    *(int32_t *)fact_of(r, row) = (int32_t)(n + row->plus);
    return EET_OK;
}

static eet_status read_real(const reading *r, const eet_key_row *row, const eet_json *value) {
    const eet_fact_row *bounds = fact_row(row->fact);
    double x = row->fallback;

    if (value != NULL && !eet_json_as_real(value, &x)) {
        return corrupt_kind(r, row->key, value, "a number");
    }
    if (!(x >= bounds->low && x <= bounds->high)) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %g, expected %g to %g",
                        row->key, x, bounds->low, bounds->high);
    }
    *(double *)fact_of(r, row) = x;
    return EET_OK;
}

static eet_status read_bool(const reading *r, const eet_key_row *row, const eet_json *value,
                            bool *out) {
    *out = row->fallback != 0;
    if (value != NULL && !eet_json_as_bool(value, out)) {
        return corrupt_kind(r, row->key, value, "true or false");
    }
    return EET_OK;
}

static eet_status read_act(const reading *r, const eet_key_row *row, const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : row->text;

    if (name == NULL) {
        return corrupt_kind(r, row->key, value, "a string");
    }
    if (!eet_act_named(name, fact_of(r, row))) {
        eet_shown shown;

        return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "activation \"%s\" (\"%s\") is not supported",
                        eet_show(&shown, name, strlen(name)), row->key);
    }
    return EET_OK;
}

/* Some models end with any of several tokens; a fact is one, the others are said. */
static const eet_json *first_token(const reading *r, const eet_key_row *row,
                                   const eet_json *value) {
    const uint64_t count = eet_json_length(value);
    int64_t id = 0;

    if (value == NULL || eet_json_kind_of(value) != EET_JSON_ARRAY) {
        return value;
    }
    const eet_json *first = eet_json_item(value, 0);

    if (count > 1 && eet_json_as_integer(first, &id)) {
        eet_notes_add(r->notes, "\"%s\" names %llu tokens; the first, %lld, is kept", row->key,
                      (unsigned long long)count, (long long)id);
    }
    return first;
}

/* Ids only name tokens, so one that the model does not have is left out. */
static eet_status read_token(const reading *r, const eet_key_row *row, const eet_json *value) {
    const int32_t vocab = r->out->facts.stack[row->stack].vocab_size;
    int64_t id = (int64_t)row->fallback;

    value = first_token(r, row, value);
    if (value != NULL && !eet_json_as_integer(value, &id)) {
        return corrupt_kind(r, row->key, value, "an integer");
    }
    const bool inside = id >= 0 && id < vocab;

    if (value != NULL && !inside && id != -1) {
        eet_notes_add(r->notes, "\"%s\" %lld is outside of the vocabulary of %d and is left out",
                      row->key, (long long)id, (int)vocab);
    }
    *(int32_t *)fact_of(r, row) = inside ? (int32_t)id : -1;
    return EET_OK;
}

static eet_head_choice *head_of(const reading *r, const eet_key_row *row) {
    return &r->out->head[row->head];
}

/* Whether it matters is known when the heads are. */
static void refuse_later(const reading *r, const eet_key_row *row, const char *value) {
    eet_head_choice *head = head_of(r, row);

    head->refused = row;
    (void)eet_show(&head->value, value, strlen(value));
}

static eet_status read_head_take(const reading *r, const eet_key_row *row, const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : row->text;
    const eet_take_row *take = eet_take_rows;

    if (name == NULL) {
        return corrupt_kind(r, row->key, value, "a string");
    }
    while (take->name != NULL && strcmp(take->name, name) != 0) {
        take++;
    }
    head_of(r, row)->take = take->take;
    if (take->name == NULL) {
        refuse_later(r, row, name);
    }
    return EET_OK;
}

static eet_status read_head_act(const reading *r, const eet_key_row *row, const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : "";
    eet_head_choice *head = head_of(r, row);

    if (name == NULL) {
        return corrupt_kind(r, row->key, value, "a string");
    }
    head->has_act = true;
    head->act = EET_ACT_LINEAR;
    if (name[0] != '\0' && !eet_act_named(name, &head->act)) {
        refuse_later(r, row, name);
    }
    return EET_OK;
}

/* The two keys of a head that are true or false. */
static eet_status read_head_bool(const reading *r, const eet_key_row *row, const eet_json *value) {
    bool flag = false;
    const eet_status status = read_bool(r, row, value, &flag);

    if (row->kind == EET_KEY_HEAD_DENSE) {
        head_of(r, row)->bare = !flag;
    } else {
        r->out->symbol[EET_SYM_SUMMARY] = flag ? 1 : r->out->facts.stack[row->stack].hidden;
    }
    return status;
}

static eet_status must_be_text(const reading *r, const eet_key_row *row, const eet_json *value) {
    const char *text = eet_json_as_string(value, NULL);
    eet_shown shown;

    if (text == NULL) {
        return corrupt_kind(r, row->key, value, "a string");
    }
    if (strcmp(text, row->text) == 0) {
        return EET_OK;
    }
    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s (\"%s\" is \"%s\") are not supported", row->why, row->key,
                    eet_show(&shown, text, strlen(text)));
}

static eet_status must_be_empty(const reading *r, const eet_key_row *row, const eet_json *value) {
    const eet_json_kind kind = eet_json_kind_of(value);

    if (kind != EET_JSON_ARRAY && kind != EET_JSON_OBJECT) {
        return corrupt_kind(r, row->key, value, "an object");
    }
    return eet_json_length(value) == 0 ? EET_OK : refuse(r, row);
}

static eet_status read_row(reading *r, const eet_key_row *row) {
    const eet_json *value = NULL;
    bool flag = false;
    eet_status status = look_up(r, row, &value);

    if (status != EET_OK) {
        return status;
    }
    switch (row->kind) {
    case EET_KEY_INTEGER:
        return read_integer(r, row, value);
    case EET_KEY_REAL:
        return read_real(r, row, value);
    case EET_KEY_BOOL:
        return read_bool(r, row, value, fact_of(r, row));
    case EET_KEY_ACT:
        return read_act(r, row, value);
    case EET_KEY_TOKEN:
        return read_token(r, row, value);
    case EET_KEY_TIED:
        return read_bool(r, row, value, &r->out->tied);
    case EET_KEY_SCALED:
        return read_bool(r, row, value, &r->scaled[row->stack]);
    case EET_KEY_HEAD_TAKE:
        return read_head_take(r, row, value);
    case EET_KEY_HEAD_ACT:
        return read_head_act(r, row, value);
    case EET_KEY_HEAD_DENSE:
    case EET_KEY_HEAD_ONE:
        return read_head_bool(r, row, value);
    case EET_KEY_MUST_BE_TEXT:
        return value == NULL ? EET_OK : must_be_text(r, row, value);
    case EET_KEY_MUST_BE_EMPTY:
        return value == NULL ? EET_OK : must_be_empty(r, row, value);
    default: /* MUST_BE_FALSE, NUMERICS */
        status = read_bool(r, row, value, &flag);
        return status == EET_OK && flag && row->kind == EET_KEY_MUST_BE_FALSE ? refuse(r, row)
                                                                              : status;
    }
}

/* What follows from the sizes: the heads' own, and the scale of attention. */
static eet_status derive(const reading *r, int s) {
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
    const double most = fact_row(offsetof(eet_stack_facts, head_dim))->high;

    if (f->head_dim > most) {
        return eet_fail(r->err, EET_E_LIMIT, EET_NOWHERE,
                        "\"%s\" %d over \"%s\" %d gives heads of %d; at most %.0f are read",
                        eet_config_key_of(family, s, offsetof(eet_stack_facts, hidden)),
                        (int)f->hidden,
                        eet_config_key_of(family, s, offsetof(eet_stack_facts, heads)),
                        (int)f->heads, (int)f->head_dim, most);
    }
    f->attn_scale = r->scaled[s] ? 1.0 / sqrt((double)f->head_dim) : 1.0;
    return EET_OK;
}

/* "architectures": null, or an array of one name. */
static eet_status named_class(const reading *r, const char **name) {
    const eet_json *list = eet_json_get(r->root, "architectures");

    *name = NULL;
    if (is_absent(list)) {
        return EET_OK;
    }
    if (eet_json_kind_of(list) != EET_JSON_ARRAY) {
        return corrupt_kind(r, "architectures", list, "an array");
    }
    if (eet_json_length(list) > 1) {
        return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "\"architectures\" names %llu; --arch NAME decides for one",
                        (unsigned long long)eet_json_length(list));
    }
    if (eet_json_length(list) == 1) {
        *name = eet_json_as_string(eet_json_item(list, 0), NULL);
        if (*name == NULL) {
            return corrupt_kind(r, "architectures", eet_json_item(list, 0), "a string");
        }
    }
    return EET_OK;
}

static eet_status unknown(const reading *r, const char *what, const char *name) {
    eet_shown shown;

    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s \"%s\" is not supported; --print-supported-models lists what is", what,
                    eet_show(&shown, name, strlen(name)));
}

static eet_status choose_by_flag(const reading *r, const char *arch) {
    eet_config *out = r->out;

    out->by_flag = true;
    out->class = eet_class_named(arch, &out->family);
    if (out->class == NULL) {
        out->family = eet_family_named(arch);
    }
    return out->family != NULL ? EET_OK : unknown(r, "--arch", arch);
}

static eet_status choose_by_keys(const reading *r) {
    for (int f = 0; eet_families[f] != NULL; f++) {
        if (eet_json_get(r->root, eet_families[f]->config_sign) != NULL) {
            r->out->family = eet_families[f];
            return EET_OK;
        }
    }
    return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                    "neither \"architectures\" nor \"model_type\" says what the model is; "
                    "--arch NAME does");
}

static eet_status choose(const reading *r, const char *arch) {
    eet_config *out = r->out;
    const eet_json *type = eet_json_get(r->root, "model_type");
    const char *name = NULL;

    if (arch != NULL) {
        return choose_by_flag(r, arch);
    }
    if (!is_absent(eet_json_get(r->root, "auto_map"))) {
        return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "\"auto_map\" asks for code of the checkpoint's own, which is never run; "
                        "--arch NAME reads it as one of the models that are known");
    }
    const eet_status status = named_class(r, &name);

    if (status != EET_OK) {
        return status;
    }
    if (!is_absent(type) && eet_json_as_string(type, NULL) == NULL) {
        return corrupt_kind(r, "model_type", type, "a string");
    }
    if (name != NULL) {
        out->class = eet_class_named(name, &out->family);
        if (out->class == NULL) {
            return unknown(r, "architecture", name);
        }
    }
    if (is_absent(type)) {
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
static eet_status choose_sibling(const reading *r) {
    const eet_family *family = r->out->family;
    const eet_json *value =
        family->sibling != NULL ? eet_json_get(r->root, family->sibling_key) : NULL;
    bool flag = false;

    if (!is_absent(value) && !eet_json_as_bool(value, &flag)) {
        return corrupt_kind(r, family->sibling_key, value, "true or false");
    }
    r->out->family = flag ? family->sibling : family;
    return EET_OK;
}

static eet_status read_keys(reading *r, const eet_key_row *rows) {
    eet_status status = EET_OK;

    for (; status == EET_OK && rows->kind != EET_KEY_END; rows++) {
        status = read_row(r, rows);
    }
    return status;
}

eet_status eet_config_read(const eet_json *root, const char *arch, eet_config *out,
                           eet_notes *notes, eet_error *err) {
    eet_config config = {.tied = true};
    reading r = {root, &config, {true, true}, notes, err};

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
        status = read_keys(&r, eet_common_keys);
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
        if (row->stack == stack && row->fact == fact && row->kind == EET_KEY_INTEGER) {
            return row->key;
        }
    }
    return NULL;
}
