/* notes.c - a list of lines for people. */
#include "converter/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"

void eet_notes_add(eet_notes *notes, const char *fmt, ...) {
    char raw[sizeof((eet_error *)NULL)->text];
    eet_error shown = {0}; /* eet_fail escapes what may not reach a terminal */
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, args);
    va_end(args);
    (void)eet_fail(&shown, EET_E_UNSUPPORTED, EET_NOWHERE, "%s", raw);
    if (notes->count == notes->room) {
        const int32_t room = notes->room == 0 ? 8 : notes->room * 2;
        char **line = realloc(notes->line, (size_t)room * sizeof *line);

        if (line == NULL) {
            return;
        }
        notes->line = line;
        notes->room = room;
    }
    notes->line[notes->count] = strdup(shown.text);
    notes->count += notes->line[notes->count] != NULL ? 1 : 0;
}

void eet_notes_free(eet_notes *notes) {
    for (int32_t i = 0; i < notes->count; i++) {
        free(notes->line[i]);
    }
    free(notes->line);
    *notes = (eet_notes){0};
}
