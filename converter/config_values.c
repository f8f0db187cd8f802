/* config_values.c - reads the value of one key, by its row in a family's table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/config_internal.h"

bool eet_config_is_absent(const eet_json *value) {
    return value == NULL || eet_json_kind_of(value) == EET_JSON_NULL;
}

eet_status eet_config_corrupt_kind(const eet_config_reading *r, const char *key,
                                   const eet_json *value, const char *expected) {
    return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %s, expected %s", key,
                    eet_json_kind_name(eet_json_kind_of(value)), expected);
}

static eet_status refuse(const eet_config_reading *r, const eet_key_row *row) {
    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE, "%s (\"%s\") is not supported",
                    row->why, row->key);
}

/* The value under the row's key or its alias; both may be there when they agree. */
static eet_status look_up(const eet_config_reading *r, const eet_key_row *row,
                          const eet_json **value) {
    const eet_json *other = row->alias != NULL ? eet_json_get(r->root, row->alias) : NULL;
    int64_t a = 0;
    int64_t b = 0;

    *value = eet_json_get(r->root, row->key);
    if (eet_config_is_absent(*value) && !eet_config_is_absent(other)) {
        *value = other;
    }
    if (eet_config_is_absent(*value)) {
        if (row->required) {
            return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is missing", row->key);
        }
        *value = NULL;
        return EET_OK;
    }
    if (!row->alias_yields && !eet_config_is_absent(other) && eet_json_as_integer(*value, &a) &&
        eet_json_as_integer(other, &b) && a != b) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"%s\" is %lld, and its other name \"%s\" is %lld", row->key, (long long)a,
                        row->alias, (long long)b);
    }
    return EET_OK;
}

const eet_fact_row *eet_config_fact_row(uint32_t offset) {
    int count = 0;
    const eet_fact_row *rows = eet_fact_rows(&count);

    for (int i = 0; i < count; i++) {
        if (rows[i].offset == offset) {
            return &rows[i];
        }
    }
    return NULL;
}

static void *fact_of(const eet_config_reading *r, const eet_key_row *row) {
    return (char *)&r->out->facts.stack[row->stack] + row->fact;
}

static eet_status read_integer(const eet_config_reading *r, const eet_key_row *row,
                               const eet_json *value) {
    const eet_fact_row *bounds = eet_config_fact_row(row->fact);
    int64_t n = (int64_t)row->fallback;

    if (value == NULL && row->fallback_of != EET_SYM_NONE) {
        const char *stack = (const char *)&r->out->facts.stack[row->stack];

        n *= *(const int32_t *)(const void *)(stack + eet_symbol_fact(row->fallback_of));
    }
    if (value != NULL && !eet_json_as_integer(value, &n)) {
        return eet_config_corrupt_kind(r, row->key, value, "an integer");
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

/* Rows up to that of the padding token are no positions. */
static eet_status read_after_pad(const eet_config_reading *r, const eet_key_row *row,
                                 const eet_json *value) {
    const int32_t pad = r->out->facts.stack[row->stack].tok_pad;
    const double most = eet_config_fact_row(row->fact)->high;
    int64_t n = 0;

    if (!eet_json_as_integer(value, &n)) {
        return eet_config_corrupt_kind(r, row->key, value, "an integer");
    }
    if (pad < 0) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "positions are counted from the padding token's number, but there is none "
                        "in the vocabulary");
    }
    if (n < (int64_t)pad + 2 || (double)n > most) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %lld, expected %lld to %.0f",
                        row->key, (long long)n, (long long)pad + 2, most);
    }
    *(int32_t *)fact_of(r, row) = (int32_t)(n - pad - 1);
    return EET_OK;
}

static eet_status read_real(const eet_config_reading *r, const eet_key_row *row,
                            const eet_json *value) {
    const eet_fact_row *bounds = eet_config_fact_row(row->fact);
    double x = row->fallback;

    if (value != NULL && !eet_json_as_real(value, &x)) {
        return eet_config_corrupt_kind(r, row->key, value, "a number");
    }
    if (!(x >= bounds->low && x <= bounds->high)) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %g, expected %g to %g",
                        row->key, x, bounds->low, bounds->high);
    }
    *(double *)fact_of(r, row) = x;
    return EET_OK;
}

static eet_status read_bool(const eet_config_reading *r, const eet_key_row *row,
                            const eet_json *value, bool *out) {
    *out = row->fallback != 0;
    if (value != NULL && !eet_json_as_bool(value, out)) {
        return eet_config_corrupt_kind(r, row->key, value, "true or false");
    }
    return EET_OK;
}

static eet_status read_act(const eet_config_reading *r, const eet_key_row *row,
                           const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : row->text;

    if (name == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
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
static const eet_json *first_token(const eet_config_reading *r, const eet_key_row *row,
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
static eet_status read_token(const eet_config_reading *r, const eet_key_row *row,
                             const eet_json *value) {
    const int32_t vocab = r->out->facts.stack[row->stack].vocab_size;
    int64_t id = (int64_t)row->fallback;

    value = first_token(r, row, value);
    if (value != NULL && !eet_json_as_integer(value, &id)) {
        return eet_config_corrupt_kind(r, row->key, value, "an integer");
    }
    const bool inside = id >= 0 && id < vocab;

    if (value != NULL && !inside && id != -1) {
        eet_notes_add(r->notes, "\"%s\" %lld is outside of the vocabulary of %d and is left out",
                      row->key, (long long)id, (int)vocab);
    }
    *(int32_t *)fact_of(r, row) = inside ? (int32_t)id : -1;
    return EET_OK;
}

static eet_head_choice *head_of(const eet_config_reading *r, const eet_key_row *row) {
    return &r->out->head[row->head];
}

/* Whether it matters is known when the heads are. */
static void refuse_later(const eet_config_reading *r, const eet_key_row *row, const char *value) {
    eet_head_choice *head = head_of(r, row);

    head->refused = row;
    (void)eet_show(&head->value, value, strlen(value));
}

static eet_status read_head_take(const eet_config_reading *r, const eet_key_row *row,
                                 const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : row->text;
    const eet_take_row *take = eet_take_rows;

    if (name == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
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

static eet_status read_head_act(const eet_config_reading *r, const eet_key_row *row,
                                const eet_json *value) {
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : "";
    eet_head_choice *head = head_of(r, row);

    if (name == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    head->has_act = true;
    head->act = EET_ACT_LINEAR;
    if (name[0] != '\0' && !eet_act_named(name, &head->act)) {
        refuse_later(r, row, name);
    }
    return EET_OK;
}

/* The two keys of a head that are true or false. */
static eet_status read_head_bool(const eet_config_reading *r, const eet_key_row *row,
                                 const eet_json *value) {
    bool flag = false;
    const eet_status status = read_bool(r, row, value, &flag);

    if (row->kind == EET_KEY_HEAD_DENSE) {
        head_of(r, row)->bare = !flag;
    } else {
        r->out->symbol[EET_SYM_SUMMARY] = flag ? 1 : r->out->facts.stack[row->stack].hidden;
    }
    return status;
}

static eet_status must_be_text(const eet_config_reading *r, const eet_key_row *row,
                               const eet_json *value) {
    const char *text = eet_json_as_string(value, NULL);
    eet_shown shown;

    if (text == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    if (strcmp(text, row->text) == 0) {
        return EET_OK;
    }
    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s (\"%s\" is \"%s\") are not supported", row->why, row->key,
                    eet_show(&shown, text, strlen(text)));
}

static eet_status must_be_empty(const eet_config_reading *r, const eet_key_row *row,
                                const eet_json *value) {
    const eet_json_kind kind = eet_json_kind_of(value);
    const char *text = eet_json_as_string(value, NULL);

    if (text != NULL) {
        return text[0] == '\0' ? EET_OK : refuse(r, row);
    }
    if (kind != EET_JSON_ARRAY && kind != EET_JSON_OBJECT) {
        return eet_config_corrupt_kind(r, row->key, value, "an object");
    }
    return eet_json_length(value) == 0 ? EET_OK : refuse(r, row);
}

/* What some tool of quantisation says of its work; an empty one says nothing. */
static eet_status must_be_plain(const eet_config_reading *r, const eet_key_row *row,
                                const eet_json *value) {
    if (eet_json_kind_of(value) != EET_JSON_OBJECT) {
        return eet_config_corrupt_kind(r, row->key, value, "an object");
    }
    const eet_json *method = eet_json_get(value, "quant_method");
    const char *name = method != NULL ? eet_json_as_string(method, NULL) : NULL;
    eet_shown shown;

    if (eet_json_length(value) == 0) {
        return EET_OK;
    }
    return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s%s%s (\"%s\") is not supported; give the checkpoint it was made from",
                    row->why, name != NULL ? " by " : "",
                    name != NULL ? eet_show(&shown, name, strlen(name)) : "", row->key);
}

/* A number, or true and false as 1 and 0. */
static eet_status must_be_zero(const eet_config_reading *r, const eet_key_row *row,
                               const eet_json *value) {
    double x = 0;
    bool flag = false;

    if (!eet_json_as_real(value, &x) && !eet_json_as_bool(value, &flag)) {
        return eet_config_corrupt_kind(r, row->key, value, "a number");
    }
    return x == 0 && !flag ? EET_OK : refuse(r, row);
}

static eet_status read_emb_scale(const eet_config_reading *r, const eet_key_row *row,
                                 const eet_json *value) {
    const bool plain = row->kind == EET_KEY_UNSCALED_EMB; /* what true means */
    eet_stack_facts *facts = &r->out->facts.stack[row->stack];
    bool flag = false;
    const eet_status status = read_bool(r, row, value, &flag);

    if (status == EET_OK) {
        facts->emb_scale = flag == plain ? 1.0 : sqrt((double)facts->hidden);
    }
    return status;
}

/* A count that is no fact. */
static eet_status read_count(const eet_config_reading *r, const eet_key_row *row,
                             const eet_json *value, int32_t *out) {
    enum { MOST = 1 << 24 };
    int64_t n = (int64_t)row->fallback;

    if (value != NULL && !eet_json_as_integer(value, &n)) {
        return eet_config_corrupt_kind(r, row->key, value, "an integer");
    }
    if (value != NULL && (n < 1 || n > MOST)) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is %lld, expected 1 to %d",
                        row->key, (long long)n, MOST);
    }
    *out = (int32_t)n;
    return EET_OK;
}

static int by_number(const void *a, const void *b) {
    return *(const int16_t *)a - *(const int16_t *)b;
}

/* "0,2,4"; false: it is not of that form. */
static bool parse_layers(const char *text, eet_kept_layers *out) {
    while (out->count < EET_MAX_KEPT) {
        char *end = NULL;
        const long layer = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;

        if (layer < 0 || layer >= EET_MAX_KEPT) {
            return false;
        }
        out->layer[out->count++] = (int16_t)layer;
        if (*end == '\0') {
            return true;
        }
        if (*end != ',') {
            return false;
        }
        text = end + 1;
    }
    return false;
}

static eet_status read_kept(const eet_config_reading *r, const eet_key_row *row,
                            const eet_json *value) {
    eet_kept_layers *kept = &r->out->kept[row->stack];
    const char *text = value != NULL ? eet_json_as_string(value, NULL) : "";

    if (text == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    if (text[0] == '\0') {
        return EET_OK;
    }
    if (!parse_layers(text, kept)) {
        eet_shown shown;

        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"%s\" is \"%s\", expected layers as in \"0,2,4\"", row->key,
                        eet_show(&shown, text, strlen(text)));
    }
    qsort(kept->layer, (size_t)kept->count, sizeof kept->layer[0], by_number);
    r->out->facts.stack[row->stack].layers = kept->count;
    return EET_OK;
}

static eet_status read_tied(const eet_config_reading *r, const eet_key_row *row,
                            const eet_json *value) {
    bool flag = false;
    const eet_status status = read_bool(r, row, value, &flag);

    if (row->kind == EET_KEY_TIED_TOO) {
        r->out->tied = r->out->tied || flag;
    } else {
        r->out->tied = flag == (row->kind == EET_KEY_TIED);
    }
    return status;
}

/* What is true or false, and no fact. */
static bool *flag_of(const eet_config_reading *r, const eet_key_row *row) {
    if (row->kind == EET_KEY_LEARNED) {
        return &r->out->learned[row->stack];
    }
    return row->kind == EET_KEY_LANG_TOKENS ? &r->out->lang_tokens : &r->out->lang_first;
}

/* A value that is accepted, or refused by name. */
static eet_status judge(const eet_config_reading *r, const eet_key_row *row,
                        const eet_json *value) {
    bool flag = false;

    if (value == NULL) {
        return EET_OK;
    }
    switch (row->kind) {
    case EET_KEY_MUST_BE_TEXT:
        return must_be_text(r, row, value);
    case EET_KEY_MUST_BE_EMPTY:
        return must_be_empty(r, row, value);
    case EET_KEY_MUST_BE_PLAIN:
        return must_be_plain(r, row, value);
    case EET_KEY_MUST_BE_ZERO:
        return must_be_zero(r, row, value);
    default: { /* MUST_BE_FALSE, NUMERICS */
        const eet_status status = read_bool(r, row, value, &flag);

        return status == EET_OK && flag && row->kind == EET_KEY_MUST_BE_FALSE ? refuse(r, row)
                                                                              : status;
    }
    }
}

eet_status eet_config_read_row(eet_config_reading *r, const eet_key_row *row) {
    const eet_json *value = NULL;
    const eet_status status = look_up(r, row, &value);

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
    case EET_KEY_AFTER_PAD:
        return read_after_pad(r, row, value);
    case EET_KEY_ACT:
        return read_act(r, row, value);
    case EET_KEY_TOKEN:
        return read_token(r, row, value);
    case EET_KEY_TIED:
    case EET_KEY_UNTIED:
    case EET_KEY_TIED_TOO:
        return read_tied(r, row, value);
    case EET_KEY_SCALED:
        return read_bool(r, row, value, &r->scaled[row->stack]);
    case EET_KEY_SYMBOL:
        return read_count(r, row, value, &r->out->symbol[row->symbol]);
    case EET_KEY_UNSCALED_EMB:
    case EET_KEY_SCALED_EMB:
        return read_emb_scale(r, row, value);
    case EET_KEY_SINES:
        return read_count(r, row, value, &r->out->sines[row->stack]);
    case EET_KEY_DICTIONARY:
        return eet_config_read_dictionary(r, row, value);
    case EET_KEY_TASK:
        return eet_config_read_task(r, value);
    case EET_KEY_LEARNED:
    case EET_KEY_LANG_TOKENS:
    case EET_KEY_LANG_FIRST:
        return read_bool(r, row, value, flag_of(r, row));
    case EET_KEY_LANGUAGES:
    case EET_KEY_LANG_SPECS:
    case EET_KEY_LANG_STYLE:
        return eet_config_read_lang(r, row, value);
    case EET_KEY_OUTPUT_WORDS:
        return eet_config_read_output_words(r, row, value);
    case EET_KEY_KEPT_LAYERS:
        return read_kept(r, row, value);
    case EET_KEY_HEAD_TAKE:
        return read_head_take(r, row, value);
    case EET_KEY_HEAD_ACT:
        return read_head_act(r, row, value);
    case EET_KEY_HEAD_DENSE:
    case EET_KEY_HEAD_ONE:
        return read_head_bool(r, row, value);
    default:
        return judge(r, row, value);
    }
}
