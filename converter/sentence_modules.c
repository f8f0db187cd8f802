/* sentence_modules.c - what the configurations of pooling and dense modules mean. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "converter/sentence.h"

/* A way of pooling: as a flag of old, as a word of today, and what a head takes. */
typedef struct mode_row {
    const char *flag, *word;
    int32_t take; /* 0: no head takes that */
    bool by_default;
} mode_row;

static const mode_row modes[] = {
    {"pooling_mode_cls_token", "cls", EET_TAKE_FIRST, false},
    {"pooling_mode_mean_tokens", "mean", EET_TAKE_MEAN, true},
    {"pooling_mode_lasttoken", "lasttoken", EET_TAKE_LAST, false},
    {"pooling_mode_max_tokens", "max", 0, false},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", 0, false},
    {"pooling_mode_weightedmean_tokens", "weightedmean", 0, false},
};
enum { MODES = sizeof modes / sizeof modes[0], MAX_WIDTH = 65536 };

static const eet_act_row dense_acts[] = {
    {"Tanh", EET_ACT_TANH}, {"ReLU", EET_ACT_RELU},       {"GELU", EET_ACT_GELU_ERF},
    {"SiLU", EET_ACT_SILU}, {"Identity", EET_ACT_LINEAR}, {0},
};

eet_status eet_sentence_refuse(eet_error *err, const char *what, const char *value) {
    eet_shown shown;

    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "%s (\"%s\") is no part of a head of ours; --no-sentence-head converts the "
                    "model without it",
                    what, eet_show(&shown, value, strlen(value)));
}

static bool is_absent(const eet_json *value) {
    return value == NULL || eet_json_kind_of(value) == EET_JSON_NULL;
}

static eet_status corrupt(eet_error *err, const char *key, const char *expected) {
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is not %s", key, expected);
}

/* A bool that may be absent. */
static eet_status read_bool(const eet_json *config, const char *key, bool *out, eet_error *err) {
    const eet_json *value = eet_json_get(config, key);

    return is_absent(value) || eet_json_as_bool(value, out) ? EET_OK
                                                            : corrupt(err, key, "true or false");
}

static eet_status read_width(const eet_json *config, const char *key, int32_t *out,
                             eet_error *err) {
    const eet_json *value = eet_json_get(config, key);
    int64_t width = 0;

    if (is_absent(value)) {
        return EET_OK;
    }
    if (!eet_json_as_integer(value, &width) || width < 1 || width > MAX_WIDTH) {
        return corrupt(err, key, "1 to 65536");
    }
    *out = (int32_t)width;
    return EET_OK;
}

/* ---- pooling --------------------------------------------------------------- */

static eet_status add_mode(eet_sentence *sentence, const mode_row *row, eet_error *err) {
    if (row->take == 0) {
        return eet_sentence_refuse(err, "this pooling", row->flag);
    }
    if (sentence->take != 0) {
        return eet_sentence_refuse(err, "several poolings at once", row->flag);
    }
    sentence->take = row->take;
    return EET_OK;
}

/* "pooling_mode": one of the words, in any case. */
static eet_status read_word(eet_sentence *sentence, const eet_json *value, eet_error *err) {
    const char *word = eet_json_as_string(value, NULL);

    if (word == NULL) {
        return corrupt(err, "pooling_mode", "the name of a pooling");
    }
    for (int i = 0; i < MODES; i++) {
        if (strcasecmp(word, modes[i].word) == 0) {
            return add_mode(sentence, &modes[i], err);
        }
    }
    return eet_sentence_refuse(err, "this pooling", word);
}

static eet_status read_words(eet_sentence *sentence, const eet_json *value, eet_error *err) {
    eet_status status = EET_OK;

    if (eet_json_kind_of(value) != EET_JSON_ARRAY) {
        return read_word(sentence, value, err);
    }
    for (uint64_t i = 0; status == EET_OK && i < eet_json_length(value); i++) {
        status = read_word(sentence, eet_json_item(value, i), err);
    }
    return status;
}

static eet_status read_flags(eet_sentence *sentence, const eet_json *config, eet_error *err) {
    eet_status status = EET_OK;

    for (int i = 0; status == EET_OK && i < MODES; i++) {
        bool flag = modes[i].by_default;

        status = read_bool(config, modes[i].flag, &flag, err);
        if (status == EET_OK && flag) {
            status = add_mode(sentence, &modes[i], err);
        }
    }
    return status;
}

eet_status eet_sentence_pooling(eet_sentence *sentence, const eet_json *config, eet_notes *notes,
                                eet_error *err) {
    const eet_json *word = eet_json_get(config, "pooling_mode");
    bool prompt = true;
    eet_status status = read_width(config, "word_embedding_dimension", &sentence->width, err);

    if (status == EET_OK) {
        status = read_width(config, "embedding_dimension", &sentence->width, err);
    }
    if (status == EET_OK) {
        status = read_bool(config, "include_prompt", &prompt, err);
    }
    if (status == EET_OK) {
        status =
            is_absent(word) ? read_flags(sentence, config, err) : read_words(sentence, word, err);
    }
    if (status == EET_OK && sentence->take == 0) {
        status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "it names no pooling");
    }
    if (status == EET_OK && !prompt) {
        eet_notes_add(notes, "the pooling leaves the tokens of a prompt out (\"include_prompt\" is "
                             "false); the head takes all tokens that it is given");
    }
    sentence->head = status == EET_OK;
    return status;
}

/* ---- dense ----------------------------------------------------------------- */

/* "torch.nn.modules.activation.Tanh" */
static eet_status read_act(const eet_json *config, int32_t *act, eet_error *err) {
    const eet_json *value = eet_json_get(config, "activation_function");
    const char *name = is_absent(value) ? "torch.nn.Tanh" : eet_json_as_string(value, NULL);

    if (name == NULL) {
        return corrupt(err, "activation_function", "a string");
    }
    const char *class = strrchr(name, '.') != NULL ? strrchr(name, '.') + 1 : name;

    for (const eet_act_row *row = dense_acts; row->name != NULL; row++) {
        if (strncmp(name, "torch.nn.", 9) == 0 && strcmp(row->name, class) == 0) {
            *act = row->act;
            return EET_OK;
        }
    }
    return eet_sentence_refuse(err, "this activation", name);
}

/* A dense part works on the vector of the text, not on something else that is carried along. */
static eet_status check_ends(const eet_json *config, eet_error *err) {
    static const char *const keys[] = {"module_input_name", "module_output_name"};

    for (int i = 0; i < 2; i++) {
        const eet_json *value = eet_json_get(config, keys[i]);
        const char *name = eet_json_as_string(value, NULL);

        if (!is_absent(value) && (name == NULL || strcmp(name, "sentence_embedding") != 0)) {
            return eet_sentence_refuse(err, keys[i], name != NULL ? name : "no string");
        }
    }
    return EET_OK;
}

eet_status eet_sentence_add_dense(eet_sentence *sentence, const char *path, const eet_json *config,
                                  eet_error *err) {
    eet_sentence_dense dense = {.bias = true};
    eet_status status = read_width(config, "in_features", &dense.in, err);

    if (status == EET_OK) {
        status = read_width(config, "out_features", &dense.out, err);
    }
    if (status == EET_OK) {
        status = read_bool(config, "bias", &dense.bias, err);
    }
    if (status == EET_OK) {
        status = read_act(config, &dense.act, err);
    }
    if (status == EET_OK) {
        status = check_ends(config, err);
    }
    if (status == EET_OK && (dense.in == 0 || dense.out == 0)) {
        status = corrupt(err, dense.in == 0 ? "in_features" : "out_features", "there");
    }
    if (status == EET_OK && (sentence->denses == EET_SENTENCE_DENSES ||
                             (sentence->denses == 1 && dense.act != EET_ACT_LINEAR))) {
        status = eet_sentence_refuse(err, "a further dense part", path);
    }
    if (status == EET_OK) {
        dense.path = strdup(path);
        status = dense.path != NULL ? EET_OK
                                    : eet_fail(err, EET_E_MEMORY, EET_NOWHERE,
                                               "no memory for the modules of a sentence");
        sentence->dense[sentence->denses++] = dense;
    }
    return status;
}
