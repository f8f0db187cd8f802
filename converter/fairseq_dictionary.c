/* fairseq_dictionary.c - reads a dict.txt as Fairseq does: "word count" a line, behind its
 * specials. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/fairseq.h"
#include "format/utf8.h"

enum { MAX_WORDS = 1 << 24 };

/* A word and the id it gets. */
typedef struct word {
    const char *text;
    size_t bytes;
    int32_t id;
    bool overwrites; /* it may stand there a second time */
} word;

typedef struct listing {
    word *word;
    int32_t count, room;
    int32_t line;
    eet_error *err;
} listing;

static eet_status fault(const listing *l, const char *what) {
    return eet_fail(l->err, EET_E_CORRUPT, EET_NOWHERE, "line %d %s", (int)l->line, what);
}

static eet_status add(listing *l, const char *text, size_t bytes, bool overwrites) {
    if (l->count == l->room) {
        const int32_t room = l->room == 0 ? 1024 : 2 * l->room;
        word *grown = l->count < MAX_WORDS ? realloc(l->word, (size_t)room * sizeof *grown) : NULL;

        if (grown == NULL) {
            return l->count < MAX_WORDS
                       ? eet_fail(l->err, EET_E_MEMORY, EET_NOWHERE, "no memory for a dictionary")
                       : eet_fail(l->err, EET_E_LIMIT, EET_NOWHERE, "it has more than %d words",
                                  MAX_WORDS);
        }
        l->word = grown;
        l->room = room;
    }
    l->word[l->count] = (word){text, bytes, l->count, overwrites};
    l->count++;
    return EET_OK;
}

static bool is_count(const char *text, size_t bytes) {
    size_t digits = 0;

    if (bytes > 0 && (text[0] == '-' || text[0] == '+')) {
        text++;
        bytes--;
    }
    while (digits < bytes && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    return bytes > 0 && digits == bytes;
}

/* Cuts the field behind the last space off; false where there is no space. */
static bool cut_field(const char *text, size_t *bytes, const char **field, size_t *field_bytes) {
    size_t at = *bytes;

    while (at > 0 && text[at - 1] != ' ') {
        at--;
    }
    if (at == 0) {
        return false;
    }
    *field = text + at;
    *field_bytes = *bytes - at;
    *bytes = at - 1;
    return true;
}

static eet_status read_line(listing *l, const char *text, size_t bytes) {
    static const char flag[] = "#fairseq:overwrite";
    const char *field = NULL;
    size_t field_bytes = 0;
    bool overwrites = false;

    while (bytes > 0 && strchr(" \t\r\n\v\f", text[bytes - 1]) != NULL) {
        bytes--;
    }
    bool is_there = cut_field(text, &bytes, &field, &field_bytes);

    if (is_there && field_bytes == sizeof flag - 1 && memcmp(field, flag, field_bytes) == 0) {
        overwrites = true;
        is_there = cut_field(text, &bytes, &field, &field_bytes);
    }
    if (!is_there || !is_count(field, field_bytes)) {
        return fault(l, "is not a word, a space and a count");
    }
    return add(l, text, bytes, overwrites);
}

static eet_status read_lines(listing *l, const char *text, uint64_t bytes) {
    eet_status status = EET_OK;

    while (status == EET_OK && bytes > 0) {
        const char *end = memchr(text, '\n', (size_t)bytes);
        const size_t length = end != NULL ? (size_t)(end - text) : (size_t)bytes;

        l->line++;
        status = memchr(text, '\0', length) == NULL ? read_line(l, text, length)
                                                    : fault(l, "holds a zero byte");
        bytes -= length + (end != NULL ? 1 : 0);
        text += length + (end != NULL ? 1 : 0);
    }
    return status;
}

static int by_text(const void *a, const void *b) {
    const word *one = a;
    const word *other = b;
    const size_t common = one->bytes < other->bytes ? one->bytes : other->bytes;
    const int order = memcmp(one->text, other->text, common);

    if (order != 0 || one->bytes != other->bytes) {
        return order != 0 ? order : (one->bytes > other->bytes) - (one->bytes < other->bytes);
    }
    return one->id - other->id;
}

/* Sorts the words; a word stands there twice only where the later line says so. */
static eet_status check_twice(listing *l) {
    if (l->count == 0) {
        return EET_OK;
    }
    qsort(l->word, (size_t)l->count, sizeof *l->word, by_text);
    for (int32_t i = 1; i < l->count; i++) {
        const word *w = &l->word[i];
        eet_shown shown;

        if (w[-1].bytes == w->bytes && memcmp(w[-1].text, w->text, w->bytes) == 0 &&
            !w->overwrites) {
            return eet_fail(l->err, EET_E_CORRUPT, EET_NOWHERE, "the word \"%s\" stands twice",
                            eet_show(&shown, w->text, w->bytes));
        }
    }
    return EET_OK;
}

/* The id of a word in the sorted list, the latest if there are several; -1: none. */
static int32_t id_of(const listing *l, const char *text) {
    const size_t bytes = strlen(text);
    int32_t id = -1;

    for (int32_t i = 0; i < l->count; i++) {
        if (l->word[i].bytes == bytes && memcmp(l->word[i].text, text, bytes) == 0) {
            id = l->word[i].id;
        }
    }
    return id;
}

static eet_status add_specials(listing *l, const char *const *specials) {
    eet_status status = EET_OK;

    for (int i = 0; status == EET_OK && specials[i] != NULL; i++) {
        status = add(l, specials[i], strlen(specials[i]), false);
    }
    return status;
}

/* Is the language of so many bytes in the list before `at`? */
static bool is_again(const char *list, const char *at, size_t bytes) {
    for (const char *l = list; l < at; l += strcspn(l, ",") + 1) {
        if (strcspn(l, ",") == bytes && memcmp(l, at, bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* What stands around a language in its word. */
static const char *const around[][2] = {
    [EET_STYLE_MBART] = {"[", "]"},
    [EET_STYLE_MULTILINGUAL] = {"__", "__"},
    [EET_STYLE_TAG] = {"<", ">"},
};

/* A word for each language, unless the dictionary has it. */
static void add_languages(const listing *l, const eet_fairseq_words *more, eet_dictionary *out) {
    const char *at = more->languages;

    while (at[0] != '\0') {
        const size_t bytes = strcspn(at, ",");
        const bool is_target =
            strlen(more->target) == bytes && memcmp(more->target, at, bytes) == 0;
        const char *const *style = around[more->style];
        char name[EET_MAX_LANGUAGE + 5];

        (void)snprintf(name, sizeof name, "%s%.*s%s", style[0], (int)bytes, at, style[1]);
        const int32_t id = id_of(l, name);

        if (!is_again(more->languages, at, bytes)) {
            out->language = is_target ? (id >= 0 ? id : out->count) : out->language;
            out->count += id < 0;
        }
        at += bytes + (at[bytes] == ',');
    }
}

/* Unless the dictionary has it. */
static void add_mask(eet_dictionary *out) {
    if (out->mask < 0) {
        out->adds_mask = true;
        out->mask = out->count++;
    }
}

/* Words of the task's behind the lines. Behind words of languages of which nobody knows how many
 * there are, the number of "<mask>" is not known either. */
static void add_behind(const listing *l, const eet_fairseq_words *more, eet_dictionary *out) {
    const int mask = more->task != NULL ? more->task->mask : EET_MASK_NONE;
    const bool is_known = !more->with_languages || more->languages[0] != '\0';

    if (mask == EET_MASK_FIRST) {
        add_mask(out);
    }
    if (more->with_languages) {
        add_languages(l, more, out);
    }
    if (is_known &&
        (mask == EET_MASK_LAST || (mask == EET_MASK_STYLED && more->style == EET_STYLE_MBART))) {
        add_mask(out);
    }
}

eet_status eet_fairseq_dictionary(const char *text, uint64_t bytes, const eet_fairseq_words *more,
                                  eet_dictionary *out, eet_error *err) {
    const eet_fairseq_task *task = more->task;
    static const char *const specials[] = {"<s>", "<pad>", "</s>", "<unk>", NULL};
    listing l = {.err = err};
    eet_status status = eet_utf8_valid(text, bytes)
                            ? add_specials(&l, specials)
                            : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "it is not UTF-8");

    if (status == EET_OK && task != NULL) {
        status = add_specials(&l, task->words);
    }
    if (status == EET_OK) {
        status = read_lines(&l, text, bytes);
    }
    if (status == EET_OK) {
        status = check_twice(&l);
    }
    *out = (eet_dictionary){.count = l.count, .mask = -1, .cls = -1, .sep = -1, .language = -1};
    if (status == EET_OK) {
        out->mask = id_of(&l, "<mask>");
        out->cls = id_of(&l, "<cls>");
        out->sep = id_of(&l, "<sep>");
        add_behind(&l, more, out);
    }
    free(l.word);
    return status;
}
