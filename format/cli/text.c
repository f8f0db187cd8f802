/* text.c - numbers, tables and the progress line, as the commands print them. */
#include "format/cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format/types.h"
#include "format/utf8.h"

/* ---- numbers ------------------------------------------------------------ */

const char *eet_format_size(eet_size_text *buffer, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    if (bytes < 1024) {
        (void)snprintf(buffer->text, sizeof buffer->text, "%" PRIu64 " B", bytes);
    } else {
        (void)snprintf(buffer->text, sizeof buffer->text, "%.1f %s", value, units[unit]);
    }
    return buffer->text;
}

const char *eet_format_sha256(eet_hex_text *buffer, const uint8_t digest[32]) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 32; i++) {
        buffer->text[2 * i] = digits[digest[i] >> 4];
        buffer->text[2 * i + 1] = digits[digest[i] & 15];
    }
    buffer->text[64] = '\0';
    return buffer->text;
}

/* ---- tables ------------------------------------------------------------- */

struct eet_table {
    int32_t columns;
    int32_t rows; /* the header is row 0 */
    bool *right;
    char **cells; /* rows x columns */
    bool failed;
};

/* Columns a terminal gives to a character: 0 combining, 2 East Asian wide. */
static int columns_of(uint32_t code) {
    static const struct {
        uint32_t first, last;
        int columns;
    } ranges[] = {
        {0x0300, 0x036F, 0},   {0x1100, 0x115F, 2},   {0x200B, 0x200F, 0},   {0x20D0, 0x20FF, 0},
        {0x2E80, 0x303E, 2},   {0x3041, 0xA4CF, 2},   {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},
        {0xFE00, 0xFE0F, 0},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2},   {0xFFE0, 0xFFE6, 2},
        {0x1F300, 0x1F64F, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return ranges[i].columns;
        }
    }
    return 1;
}

static int width_of(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    const size_t bytes = strlen(text);
    int width = 0;
    size_t i = 0;

    while (i < bytes) {
        uint32_t code = 0;
        const size_t n = eet_utf8_decode(at + i, bytes - i, &code);

        width += n == 0 ? 1 : columns_of(code);
        i += n == 0 ? 1 : n;
    }
    return width;
}

eet_table *eet_table_create(int32_t columns, const char *const *header, const bool *right) {
    eet_table *table = calloc(1, sizeof *table);

    if (table == NULL) {
        return NULL;
    }
    table->columns = columns;
    table->right = calloc((size_t)columns, sizeof *table->right);
    if (table->right == NULL) {
        free(table);
        return NULL;
    }
    memcpy(table->right, right, (size_t)columns * sizeof *right);
    eet_table_row(table, header);
    return table;
}

void eet_table_row(eet_table *table, const char *const *cells) {
    if (table == NULL || table->failed) {
        return;
    }
    const size_t columns = (size_t)table->columns;
    const size_t used = (size_t)table->rows * columns;
    char **grown = realloc(table->cells, (used + columns) * sizeof *grown);

    if (grown == NULL) {
        table->failed = true;
        return;
    }
    table->cells = grown;
    memset(grown + used, 0, columns * sizeof *grown);
    table->rows++;
    for (size_t i = 0; i < columns; i++) {
        eet_shown shown;

        if (cells[i] != NULL) {
            grown[used + i] = strdup(eet_show(&shown, cells[i], strlen(cells[i])));
        }
        table->failed = table->failed || grown[used + i] == NULL;
    }
}

static int column_width(const eet_table *table, int32_t column) {
    int width = 0;

    for (int32_t row = 0; row < table->rows; row++) {
        const int cell = width_of(table->cells[row * table->columns + column]);

        width = cell > width ? cell : width;
    }
    return width;
}

static void print_cell(FILE *stream, const char *text, int width, bool right, bool last) {
    const int pad = width - width_of(text);

    if (right) {
        (void)fprintf(stream, "%*s%s", pad, "", text);
    } else {
        (void)fprintf(stream, "%s%*s", text, last ? 0 : pad, "");
    }
    (void)fputs(last ? "\n" : "  ", stream);
}

static void free_table(eet_table *table) {
    for (int32_t i = 0; i < table->rows * table->columns; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table->right);
    free(table);
}

static void print_table(const eet_table *table, int *widths, FILE *stream) {
    for (int32_t i = 0; i < table->columns; i++) {
        widths[i] = column_width(table, i);
    }
    for (int32_t row = 0; row < table->rows; row++) {
        char *const *cells = table->cells + (size_t)row * (size_t)table->columns;
        int32_t used = table->columns;

        while (used > 1 && cells[used - 1][0] == '\0') {
            used--; /* no spaces at the end of a line */
        }
        for (int32_t i = 0; i < used; i++) {
            print_cell(stream, cells[i], widths[i], table->right[i], i + 1 == used);
        }
    }
}

eet_status eet_table_end(eet_table *table, FILE *stream, eet_error *err) {
    int *widths = NULL;

    if (table != NULL && !table->failed) {
        widths = calloc((size_t)table->columns, sizeof *widths);
    }
    if (widths != NULL) {
        print_table(table, widths, stream);
    }
    const bool printed = widths != NULL;

    free(widths);
    if (table != NULL) {
        free_table(table);
    }
    return printed ? EET_OK : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a table");
}

/* ---- progress ----------------------------------------------------------- */

enum { REWRITE_MS = 100 };

struct eet_progress {
    char noun[32];
    uint64_t total_items, total_bytes;
    uint64_t began_ms, shown_ms; /* shown_ms 0: never */
};

static uint64_t now_ms(void) {
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool is_wanted(void) {
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) == 1 && (term == NULL || strcmp(term, "dumb") != 0) &&
           getenv("NO_COLOR") == NULL && getenv("EET_NO_PROGRESS") == NULL;
}

eet_progress *eet_progress_begin(const char *noun, uint64_t total_items, uint64_t total_bytes,
                                 bool quiet) {
    if (quiet || !is_wanted()) {
        return NULL;
    }
    eet_progress *progress = calloc(1, sizeof *progress);

    if (progress != NULL) {
        (void)snprintf(progress->noun, sizeof progress->noun, "%s", noun);
        progress->total_items = total_items;
        progress->total_bytes = total_bytes;
        progress->began_ms = now_ms();
    }
    return progress;
}

void eet_progress_step(eet_progress *progress, uint64_t items, uint64_t bytes) {
    eet_size_text done;
    eet_size_text total;
    eet_size_text rate;

    if (progress == NULL) {
        return;
    }
    const uint64_t now = now_ms();

    if (progress->shown_ms != 0 && now - progress->shown_ms < REWRITE_MS) {
        return;
    }
    const double seconds = (double)(now - progress->began_ms + 1) / 1000;
    const double speed = (double)bytes / seconds;
    const uint64_t left = progress->total_bytes > bytes ? progress->total_bytes - bytes : 0;

    progress->shown_ms = now;
    (void)fprintf(stderr, "\r%s %" PRIu64 "/%" PRIu64 "  %s/%s  %s/s", progress->noun, items,
                  progress->total_items, eet_format_size(&done, bytes),
                  eet_format_size(&total, progress->total_bytes),
                  eet_format_size(&rate, (uint64_t)speed));
    if (speed >= 1) {
        const uint64_t eta = (uint64_t)((double)left / speed + 0.5);

        (void)fprintf(stderr, "  ETA %" PRIu64 ":%02" PRIu64, eta / 60, eta % 60);
    }
    (void)fputs("\033[K", stderr);
    (void)fflush(stderr);
}

void eet_progress_end(eet_progress *progress) {
    if (progress != NULL && progress->shown_ms != 0) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
    free(progress);
}
