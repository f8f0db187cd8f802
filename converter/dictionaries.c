/* dictionaries.c - the dictionaries beside a checkpoint of Fairseq: are they of this model? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "converter/convert.h"
#include "converter/fairseq.h"
#include "converter/input.h"

enum { MAX_DICTIONARY = 256 << 20, MOST_MORE = 64, MOST_LANGUAGES = 1024 };

/* *path: of the file, or NULL where there is none. */
static eet_status look_for(const eet_conversion *c, const char *name, char **path, eet_error *err) {
    struct stat about;

    *path = eet_path_join(c->inputs.folder, name);
    if (*path == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    if (lstat(*path, &about) == 0) {
        return EET_OK;
    }
    const int number = errno;

    free(*path);
    *path = NULL;
    return number == ENOENT ? EET_OK : eet_fail_errno(err, number, "%s cannot be read", name);
}

/* The dictionary of a language, else that of the model. */
static eet_status find(const eet_conversion *c, const eet_dictionary_file *file, char **path,
                       const char **name, eet_error *err) {
    eet_status status = EET_OK;

    *path = NULL;
    *name = file->name;
    if (file->name[0] != '\0') {
        status = look_for(c, file->name, path, err);
    }
    if (status == EET_OK && *path == NULL) {
        *name = "dict.txt";
        status = look_for(c, *name, path, err);
    }
    return status;
}

/* Rows that no word of a dictionary names may be so many. */
static int32_t most_more(const eet_fairseq_words *more) {
    return more->with_languages && more->languages[0] == '\0' ? MOST_LANGUAGES : MOST_MORE;
}

static eet_status check_count(eet_conversion *c, eet_dictionary *dictionary, int stack,
                              const eet_fairseq_words *more, const char *name, eet_error *err) {
    const int32_t rows = c->plan.facts.stack[stack].vocab_rows;

    if (rows == dictionary->count) {
        return EET_OK;
    }
    if (c->config.family->mask_row && dictionary->mask < 0 && rows == dictionary->count + 1) {
        c->plan.facts.stack[stack].vocab_size = dictionary->count;
        eet_notes_add(&c->notes,
                      "%s makes %d words without <mask>, and the model has %d: the last, that of "
                      "<mask>, counts for nothing, as in Fairseq",
                      name, (int)dictionary->count, (int)rows);
        return EET_OK;
    }
    if (rows < dictionary->count || rows > dictionary->count + most_more(more)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "it makes %d words, and the model has %d; it is the dictionary of another",
                        (int)dictionary->count, (int)rows);
    }
    eet_notes_add(&c->notes, "%s makes %d words, and the model has %d; the last %d have no name",
                  name, (int)dictionary->count, (int)rows, (int)(rows - dictionary->count));
    if (dictionary->adds_mask && more->task->mask != EET_MASK_FIRST) {
        dictionary->mask = -1; /* it stands behind words that have no name */
    }
    return EET_OK;
}

static void set_tokens(eet_stack_facts *facts, const eet_dictionary *dictionary) {
    facts->tok_mask = dictionary->mask < facts->vocab_size ? dictionary->mask : -1;
    facts->tok_cls = dictionary->cls < facts->vocab_size ? dictionary->cls : -1;
    facts->tok_sep = dictionary->sep < facts->vocab_size ? dictionary->sep : -1;
}

/* "de_DE" of "dict.de_DE.txt". */
static void language_of(const eet_dictionary_file *file, char *out, size_t room) {
    const size_t bytes = strlen(file->name);

    (void)snprintf(out, room, "%.*s", bytes > 9 ? (int)bytes - 9 : 0,
                   bytes > 9 ? file->name + 5 : "");
}

static bool adds_languages(const eet_config *config) {
    const int languages = config->task != NULL ? config->task->languages : EET_LANG_NONE;

    return languages == EET_LANG_ALWAYS || (languages == EET_LANG_TOLD && config->lang_tokens);
}

/* A text begins and ends with the word of its language, where the dictionary knows that. */
static void set_language(eet_conversion *c, int stack, const eet_dictionary *dictionary) {
    const eet_fairseq_task *task = c->config.task;
    eet_stack_facts *facts = &c->plan.facts.stack[stack];

    if (stack == EET_DEC && task != NULL && task->begin == EET_BEGIN_LANGUAGE &&
        adds_languages(&c->config) && dictionary->language < facts->vocab_size) {
        facts->tok_eos = dictionary->language;
        facts->start = dictionary->language;
    }
}

/* What the family says of a text's begin, and its end, is not so for every task. */
static void forget_begin(eet_conversion *c) {
    const eet_fairseq_task *task = c->config.task;
    eet_stack_facts *facts = &c->plan.facts.stack[EET_DEC];
    const int begin = task != NULL ? task->begin : EET_BEGIN_PLAIN;

    if (begin == EET_BEGIN_PLAIN || (begin == EET_BEGIN_TOLD && !c->config.lang_first) ||
        (begin == EET_BEGIN_LANGUAGE && !adds_languages(&c->config))) {
        return;
    }
    facts->start = -1;
    if (begin == EET_BEGIN_LANGUAGE) {
        facts->tok_eos = -1;
    }
}

/* What whoever generates has to say then. */
static void note_begin(eet_conversion *c) {
    const int begin = c->config.task != NULL ? c->config.task->begin : EET_BEGIN_PLAIN;

    if (c->plan.facts.stack[EET_DEC].start >= 0 || begin == EET_BEGIN_PLAIN) {
        return;
    }
    eet_notes_add(&c->notes,
                  "a text of the task \"%s\" begins with %s, which %s; give it as the ids",
                  c->config.task->name,
                  begin == EET_BEGIN_TOLD ? "</s>, that is 2, and the word of its language"
                                          : "a word of its own",
                  begin == EET_BEGIN_LANGUAGE ? "is not known" : "the model does not name");
}

/* What the task adds to a dictionary. */
static eet_fairseq_words words_of(const eet_config *config, const char *target) {
    const eet_fairseq_task *task = config->task;
    eet_fairseq_words words = {.task = task, .languages = config->languages, .target = target};

    words.with_languages = adds_languages(config);
    words.style = task != NULL ? task->style : EET_STYLE_MBART;
    if (words.style == EET_STYLE_TOLD) {
        words.style = config->lang_mbart ? EET_STYLE_MBART : EET_STYLE_MULTILINGUAL;
    }
    return words;
}

static eet_status read_one(eet_conversion *c, int stack, const char *path, const char *name,
                           eet_error *err) {
    char target[sizeof c->config.dictionary[0].name] = "";
    const eet_fairseq_words more = words_of(&c->config, target);
    eet_dictionary dictionary;
    char *text = NULL;
    uint64_t bytes = 0;

    language_of(&c->config.dictionary[EET_DEC], target, sizeof target);
    eet_status status =
        eet_read_small(path, c->options.follow_symlinks, MAX_DICTIONARY, &text, &bytes, err);

    if (status == EET_OK) {
        status = eet_fairseq_dictionary(text, bytes, &more, &dictionary, err);
    }
    if (status == EET_OK) {
        status = check_count(c, &dictionary, stack, &more, name, err);
    }
    if (status == EET_OK) {
        set_tokens(&c->plan.facts.stack[stack], &dictionary);
        set_language(c, stack, &dictionary);
    }
    free(text);
    eet_error_prefix(err, name);
    return status;
}

eet_status eet_conversion_dictionaries(eet_conversion *c, eet_error *err) {
    eet_status status = EET_OK;

    forget_begin(c);
    for (int stack = 0; status == EET_OK && stack < EET_STACKS; stack++) {
        const eet_dictionary_file *file = &c->config.dictionary[stack];
        const char *name = NULL;
        char *path = NULL;

        if (!file->is_wanted || c->inputs.folder == NULL) {
            continue;
        }
        status = find(c, file, &path, &name, err);
        if (status == EET_OK && path != NULL) {
            status = read_one(c, stack, path, name, err);
        } else if (status == EET_OK) {
            eet_notes_add(&c->notes, "there is no %s beside it: its words have no names",
                          file->name[0] != '\0' ? file->name : name);
        }
        free(path);
    }
    note_begin(c);
    return status;
}
