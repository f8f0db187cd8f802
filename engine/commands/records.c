/* records.c - reads rows of ids from --ids and from JSON Lines. */
#include "engine/commands/records.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1 << 24 };

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the ids of a row");
}

eet_status eet_records_check_options(const eet_option_list *ids, const eet_option_list *source_ids,
                                     eet_error *err) {
    return ids->count > 0 && source_ids->count > 0 && ids->count != source_ids->count
               ? eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "--source-ids is given as often as --ids, or without --ids")
               : EET_OK;
}

/* ---- one list of ids ---------------------------------------------------- */

eet_status eet_parse_ids(const char *text, const char *option, int32_t *out, int32_t room,
                         int32_t *count, eet_error *err) {
    const char *at = text;
    eet_shown shown;

    *count = 0;
    do {
        char *end = NULL;

        errno = 0;
        const long long id = strtoll(at, &end, 10);

        if (end == at || errno != 0 || id < 0 || id > INT32_MAX || (*end != ',' && *end != '\0')) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s wants ids like 1,2,3, not \"%s\"",
                            option, eet_show(&shown, text, strlen(text)));
        }
        if (*count == room) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "%s has more than %d ids", option,
                            (int)room);
        }
        out[(*count)++] = (int32_t)id;
        at = *end == ',' ? end + 1 : NULL;
    } while (at != NULL);
    return EET_OK;
}

static eet_status read_option(const char *text, const char *option, int32_t **ids, int32_t *count,
                              eet_error *err) {
    int32_t room = 1;

    for (const char *at = text; *at != '\0'; ++at) {
        room += *at == ',' ? 1 : 0;
    }
    *ids = calloc((size_t)room, sizeof **ids);
    if (*ids == NULL) {
        return no_memory(err);
    }
    return eet_parse_ids(text, option, *ids, room, count, err);
}

/* A row that has only a source: the decoder begins. */
static eet_status begin_row(const eet_record_rules *rules, eet_record *out, eet_error *err) {
    out->ids = calloc(1, sizeof *out->ids);
    if (out->ids == NULL) {
        return no_memory(err);
    }
    out->ids[0] = rules->start;
    out->count = 1;
    return EET_OK;
}

/* The first row says whether rows have sources. */
static void choose_rules(eet_records *records, bool has_source) {
    if (has_source && records->sourced != NULL) {
        records->rules = records->sourced;
    }
    records->sourced = NULL;
}

/* Row number records->number of the command line. */
static eet_status read_options(eet_records *records, eet_record *out, eet_error *err) {
    const int64_t at = records->number - 1;
    const eet_option_list *ids = records->ids;
    const eet_option_list *sources = records->source_ids;
    eet_status status = EET_OK;

    choose_rules(records, sources != NULL && sources->count > 0);
    if (sources != NULL && sources->count > 0) {
        status = read_option(sources->items[at], "--source-ids", &out->source_ids,
                             &out->source_count, err);
    }
    if (status == EET_OK && ids->count > 0) {
        status = read_option(ids->items[at], "--ids", &out->ids, &out->count, err);
    } else if (status == EET_OK && records->rules->start >= 0) {
        status = begin_row(records->rules, out, err);
    } else if (status == EET_OK) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "--source-ids needs --ids: the model names no first token of a decoder");
    }
    return status;
}

/* ---- one line of JSON ---------------------------------------------------- */

/* An array of integers under a key: as long as `length` unless that is negative. */
static eet_status read_array(const eet_record *record, const char *key, int64_t length,
                             int32_t **out, eet_error *err) {
    const eet_json *array = eet_json_get(record->line, key);
    const int64_t number = record->number;

    if (array == NULL) {
        return EET_OK;
    }
    const uint64_t count = eet_json_length(array);

    if (eet_json_kind_of(array) != EET_JSON_ARRAY || count > MAX_IDS ||
        (length >= 0 && count != (uint64_t)length)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "line %lld: \"%s\" is not a list of integers as long as \"ids\"",
                        (long long)number, key);
    }
    *out = calloc((size_t)count + 1, sizeof **out);
    if (*out == NULL) {
        return no_memory(err);
    }
    for (uint64_t i = 0; i < count; ++i) {
        int64_t value = 0;

        if (!eet_json_as_integer(eet_json_item(array, i), &value) || value < INT32_MIN ||
            value > INT32_MAX) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "line %lld: \"%s\"[%llu] is not an integer of 32 bits",
                            (long long)number, key, (unsigned long long)i);
        }
        (*out)[i] = (int32_t)value;
    }
    return EET_OK;
}

/* "at": one index into "ids", or a list of them that ascends. */
static eet_status read_at(eet_record *r, eet_error *err) {
    const eet_json *value = eet_json_get(r->line, "at");
    int64_t one = 0;

    if (value == NULL) {
        return EET_OK;
    }
    if (eet_json_as_integer(value, &one)) {
        if (one < 0 || one >= r->count) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "line %lld: \"at\" is %lld, and the row has tokens 0 to %d",
                            (long long)r->number, (long long)one, (int)r->count - 1);
        }
        r->at = calloc(1, sizeof *r->at);
        if (r->at == NULL) {
            return no_memory(err);
        }
        r->at[0] = (int32_t)one;
        r->at_count = 1;
        return EET_OK;
    }
    const eet_status status = read_array(r, "at", -1, &r->at, err);

    r->at_count = (int32_t)eet_json_length(value);
    r->at_listed = true;
    if (status != EET_OK) {
        return status;
    }
    for (int32_t i = 0; i < r->at_count; ++i) {
        if (r->at[i] < (i > 0 ? r->at[i - 1] : 0) || r->at[i] >= r->count) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "line %lld: \"at\"[%d] is %d, and places ascend from 0 to %d",
                            (long long)r->number, (int)i, (int)r->at[i], (int)r->count - 1);
        }
    }
    return EET_OK;
}

/* Where the tokens of "at" are when those that the mask leaves out are gone. */
static eet_status move_at(eet_record *r, const int32_t *mask, eet_error *err) {
    int32_t kept = 0;
    int32_t token = 0;

    for (int32_t i = 0; i < r->at_count; ++i) {
        for (; token < r->at[i]; ++token) {
            kept += mask[token];
        }
        if (mask[r->at[i]] == 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "line %lld: \"at\" names token %d, which the mask leaves out",
                            (long long)r->number, (int)r->at[i]);
        }
        r->at[i] = kept;
    }
    return EET_OK;
}

/* Takes the tokens out that the mask leaves out. Those in between keep their places: the
 * positions of what comes after are given to the model. */
static eet_status apply_mask(const eet_record_rules *rules, eet_record *r, const int32_t *mask,
                             eet_error *err) {
    int32_t kept = 0;
    int32_t place = 0;
    bool moved = false;

    r->positions = calloc((size_t)r->count + 1, sizeof *r->positions);
    if (r->positions == NULL) {
        return no_memory(err);
    }
    for (int32_t i = 0; i < r->count; ++i) {
        const bool pad = rules->skip_pad && r->ids[i] == rules->pad;

        if (mask[i] != 0 && mask[i] != 1) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "line %lld: \"attention_mask\"[%d] is %d, not 0 or 1",
                            (long long)r->number, (int)i, (int)mask[i]);
        }
        if (mask[i] == 1) {
            moved = moved || i != kept;
            r->ids[kept] = r->ids[i];
            r->positions[kept] = pad ? -1 : place;
            if (r->types != NULL) {
                r->types[kept] = r->types[i];
            }
            kept += 1;
        }
        place += pad ? 0 : 1;
    }
    r->count = kept;
    if (!moved || !rules->place || rules->positions == 0) {
        free(r->positions);
        r->positions = NULL;
    }
    return EET_OK;
}

/* An "id" must come back as it was. */
static bool can_answer(const eet_json *id) {
    const eet_json_kind kind = eet_json_kind_of(id);

    return kind == EET_JSON_NULL || kind == EET_JSON_STRING || kind == EET_JSON_INTEGER;
}

static eet_status read_line(eet_records *records, size_t bytes, eet_record *out, eet_error *err) {
    eet_error inner = {.status = EET_OK};
    int32_t *mask = NULL;

    if (eet_json_parse(records->text, bytes, &out->line, &inner) != EET_OK) {
        const eet_status told = inner.status == EET_E_MEMORY ? EET_E_MEMORY : EET_E_ARGUMENT;

        return eet_fail(err, told, EET_NOWHERE, "line %lld: %s", (long long)out->number,
                        inner.text);
    }
    const eet_json *ids = eet_json_get(out->line, "ids");
    const eet_json *sources = eet_json_get(out->line, "source_ids");

    choose_rules(records, sources != NULL);
    const bool begun = ids == NULL && sources != NULL && records->rules->start >= 0;
    eet_status status = EET_OK;

    if (!begun && (ids == NULL || eet_json_length(ids) == 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "line %lld: there is no list \"ids\" with token ids",
                        (long long)out->number);
    }
    if (!can_answer(eet_json_get(out->line, "id"))) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "line %lld: \"id\" is neither a string nor an integer of 64 bits",
                        (long long)out->number);
    }
    if (begun) {
        status = begin_row(records->rules, out, err);
    } else {
        status = read_array(out, "ids", -1, &out->ids, err);
        out->count = (int32_t)eet_json_length(ids);
    }
    if (status == EET_OK && sources != NULL) {
        status = read_array(out, "source_ids", -1, &out->source_ids, err);
        out->source_count = (int32_t)eet_json_length(sources);
    }
    if (status == EET_OK) {
        status = read_array(out, "types", out->count, &out->types, err);
    }
    if (status == EET_OK) {
        status = read_array(out, "attention_mask", out->count, &mask, err);
    }
    if (status == EET_OK && records->rules->at) {
        status = read_at(out, err);
    }
    if (status == EET_OK && mask != NULL) {
        status = apply_mask(records->rules, out, mask, err);
    }
    if (status == EET_OK && mask != NULL) {
        status = move_at(out, mask, err);
    }
    free(mask);
    return status;
}

/* ---- records ------------------------------------------------------------ */

static bool is_blank(const char *text) {
    return text[strspn(text, " \t\r\n")] == '\0';
}

/* The next line that is not blank, in records->text; -1 at the end. */
static ssize_t next_line(eet_records *records) {
    ssize_t bytes = 0;

    do {
        bytes = getline(&records->text, &records->room, records->stream);
        records->number += 1;
    } while (bytes >= 0 && is_blank(records->text) && strlen(records->text) == (size_t)bytes);
    return bytes;
}

static eet_status take_last(eet_record *record, eet_error *err) {
    record->at = calloc(1, sizeof *record->at);
    if (record->at == NULL) {
        return no_memory(err);
    }
    record->at[0] = record->count - 1;
    record->at_count = 1;
    return EET_OK;
}

eet_status eet_records_next(eet_records *records, eet_record *out, bool *more, eet_error *err) {
    const int32_t sources = records->source_ids != NULL ? records->source_ids->count : 0;
    const int32_t rows = sources > 0 ? sources : records->ids->count;
    const bool listed = rows > 0;
    eet_status status = EET_OK;

    *out = (eet_record){0};
    *more = false;
    if (listed) {
        if (records->number == rows) {
            return EET_OK;
        }
        records->number += 1;
        out->number = records->number;
        status = read_options(records, out, err);
    } else {
        errno = 0;
        const ssize_t bytes = next_line(records);

        if (bytes < 0 && errno == ENOMEM) { /* which is neither an end nor an error of the stream */
            return no_memory(err);
        }
        if (bytes < 0) {
            return ferror(records->stream) != 0
                       ? eet_fail_errno(err, errno, "standard input cannot be read")
                       : EET_OK;
        }
        out->number = records->number;
        status = read_line(records, (size_t)bytes, out, err);
    }
    if (status == EET_OK) {
        status = eet_record_check(records->rules, out, listed, err);
    }
    if (status == EET_OK && records->rules->at && out->at == NULL) {
        status = take_last(out, err);
    }
    if (status != EET_OK) {
        eet_record_free(out);
        return status;
    }
    *more = true;
    return EET_OK;
}

void eet_record_free(eet_record *record) {
    free(record->ids);
    free(record->types);
    free(record->positions);
    free(record->source_ids);
    free(record->at);
    eet_json_free(record->line);
    *record = (eet_record){0};
}

void eet_records_end(eet_records *records) {
    free(records->text);
    records->text = NULL;
}

void eet_record_answer(const eet_record *record, eet_json *result) {
    const eet_json *id = record->line != NULL ? eet_json_get(record->line, "id") : NULL;
    int64_t number = 0;

    if (id == NULL) {
        return;
    }
    if (eet_json_as_integer(id, &number)) {
        eet_json_set_integer(result, "id", number);
    } else {
        eet_json_set_string(result, "id", eet_json_as_string(id, NULL));
    }
}
