/* config_fairseq.c - keys that Fairseq alone has: its dictionaries, and what its tasks do to them.
 */
#include <stdio.h>
#include <string.h>

#include "converter/config_internal.h"
#include "converter/fairseq.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@";

/* A language is part of a file's name, so it is no path. */
eet_status eet_config_read_dictionary(const eet_config_reading *r, const eet_key_row *row,
                                      const eet_json *value) {
    eet_dictionary_file *file = &r->out->dictionary[row->stack];
    const char *name = value != NULL ? eet_json_as_string(value, NULL) : "";
    eet_shown shown;

    if (name == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    if (strspn(name, letters) != strlen(name) || strlen(name) > sizeof file->name - 12) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is \"%s\", no language",
                        row->key, eet_show(&shown, name, strlen(name)));
    }
    file->is_wanted = true;
    if (name[0] != '\0') {
        (void)snprintf(file->name, sizeof file->name, "dict.%s.txt", name);
    }
    return EET_OK;
}

eet_status eet_config_read_task(const eet_config_reading *r, const eet_json *value) {
    const char *name = eet_json_as_string(value, NULL);

    r->out->task = name != NULL ? eet_fairseq_task_named(name) : NULL;
    return EET_OK;
}

/* "en_XX,de_DE": names, each once or more. */
static bool is_list(const char *text) {
    size_t bytes = 0;

    do {
        bytes = strspn(text, letters);
        if (bytes == 0 || bytes > EET_MAX_LANGUAGE || (text[bytes] != ',' && text[bytes] != '\0')) {
            return false;
        }
        text += bytes + 1;
    } while (text[-1] == ',');
    return true;
}

/* ["en_XX", "de_DE"] as "en_XX,de_DE"; false: it is no list of names, or too long. */
static bool join(const eet_json *list, char *out, size_t room) {
    size_t used = 0;

    for (uint64_t i = 0; i < eet_json_length(list); i++) {
        const char *name = eet_json_as_string(eet_json_item(list, i), NULL);
        const int wrote =
            name != NULL ? snprintf(out + used, room - used, "%s%s", i == 0 ? "" : ",", name) : -1;

        if (wrote < 0 || (size_t)wrote >= room - used || name[0] == '\0') {
            return false;
        }
        used += (size_t)wrote;
    }
    return true;
}

/* Those of a task that has words for them; the row of the task stands before. */
static eet_status read_languages(const eet_config_reading *r, const eet_key_row *row,
                                 const eet_json *value) {
    const char *text = value != NULL ? eet_json_as_string(value, NULL) : "";
    char *out = r->out->languages;
    const size_t room = sizeof r->out->languages;
    const bool is_array = value != NULL && eet_json_kind_of(value) == EET_JSON_ARRAY;
    eet_shown shown;

    if (r->out->task == NULL || r->out->task->languages == EET_LANG_NONE) {
        return EET_OK;
    }
    if (text == NULL && !is_array) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    const bool fits = is_array ? join(value, out, room) : strlen(text) < room;

    if (!is_array) {
        (void)snprintf(out, room, "%s", text);
    }
    if (!fits || (out[0] != '\0' && !is_list(out))) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"%s\" is \"%s\", expected languages as in \"en_XX,de_DE\"", row->key,
                        eet_show(&shown, out, strlen(out)));
    }
    return EET_OK;
}

/* What Fairseq makes of "decoder_langtok", where nobody has said it: this goes before. */
static eet_status read_specs(const eet_config_reading *r, const eet_key_row *row,
                             const eet_json *value) {
    if (value == NULL) {
        return EET_OK;
    }
    const bool is_pair = eet_json_kind_of(value) == EET_JSON_ARRAY && eet_json_length(value) == 2;
    const char *of_target = is_pair ? eet_json_as_string(eet_json_item(value, 1), NULL) : NULL;

    if (of_target == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a pair of strings");
    }
    r->out->lang_first = of_target[0] != '\0';
    return EET_OK;
}

static eet_status read_style(const eet_config_reading *r, const eet_key_row *row,
                             const eet_json *value) {
    const char *text = value != NULL ? eet_json_as_string(value, NULL) : "multilingual";
    eet_shown shown;

    if (text == NULL) {
        return eet_config_corrupt_kind(r, row->key, value, "a string");
    }
    r->out->lang_mbart = strcmp(text, "mbart") == 0;
    if (!r->out->lang_mbart && strcmp(text, "multilingual") != 0) {
        return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "words of languages in the style \"%s\" (\"%s\") are not supported",
                        eet_show(&shown, text, strlen(text)), row->key);
    }
    return EET_OK;
}

/* Where no task asks for it, it means nothing. */
eet_status eet_config_read_lang(const eet_config_reading *r, const eet_key_row *row,
                                const eet_json *value) {
    const eet_fairseq_task *task = r->out->task;

    if (row->kind == EET_KEY_LANGUAGES) {
        return read_languages(r, row, value);
    }
    if (task == NULL || task->style != EET_STYLE_TOLD) {
        return EET_OK;
    }
    return row->kind == EET_KEY_LANG_SPECS ? read_specs(r, row, value) : read_style(r, row, value);
}

/* Words of the output; -1: those of the dictionary. Whether that is fewer, the tensors say. */
eet_status eet_config_read_output_words(const eet_config_reading *r, const eet_key_row *row,
                                        const eet_json *value) {
    int64_t words = -1;

    if (value != NULL && !eet_json_as_integer(value, &words)) {
        return eet_config_corrupt_kind(r, row->key, value, "an integer");
    }
    if (words == 0) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"%s\" is 0, expected -1 or a number of words", row->key);
    }
    r->out->output_words_key = row->key;
    r->out->output_words = words > INT32_MAX || words < 0 ? INT32_MAX : (int32_t)words;
    return EET_OK;
}
