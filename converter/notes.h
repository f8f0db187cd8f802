/* notes.h - lines for people that a conversion gathers: what was left out, chosen, noticed. */
#ifndef EET_CONVERTER_NOTES_H
#define EET_CONVERTER_NOTES_H

#include <stdint.h>

typedef struct eet_notes {
    char **line; /* (count), owned */
    int32_t count, room;
} eet_notes;

/* Adds a line, control characters escaped; one that finds no memory is lost. */
void eet_notes_add(eet_notes *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void eet_notes_free(eet_notes *notes);

#endif
