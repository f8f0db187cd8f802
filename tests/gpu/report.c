/* report.c - one JSON line a case, on standard output and in the log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

const char *const gpu_verdicts[GPU_VERDICTS] = {"passed", "failed", "skipped", "not reached"};

/* Text as JSON has it between quotes. */
static void escape(char *out, size_t room, const char *text) {
    size_t used = 0;

    for (; *text != '\0' && used + 7 < room; ++text) {
        const unsigned char c = (unsigned char)*text;

        if (c < 0x20) {
            used += (size_t)snprintf(out + used, room - used, "\\u%04x", c);
        } else {
            if (c == '"' || c == '\\') {
                out[used++] = '\\';
            }
            out[used++] = (char)c;
        }
    }
    out[used] = '\0';
}

/* What a line of this case, commit, device and card says, from "case" to "driver". */
static int write_head(char *line, size_t room, const gpu_report *report, const char *name,
                      int verdict) {
    char card[256];

    escape(card, sizeof card, report->card);
    return snprintf(line, room,
                    "{\"schema_version\": 1, \"case\": \"%s\", \"verdict\": \"%s\", "
                    "\"commit\": \"%s\", \"device\": \"%s\", \"card\": \"%s\", ",
                    name, gpu_verdicts[verdict], report->commit, report->device, card);
}

void gpu_report_line(gpu_report *report, const char *name, int verdict, double seconds,
                     const char *detail) {
    char line[4096];
    char text[2 * GPU_TEXT];
    char date[32];
    const time_t now = time(NULL);
    struct tm utc;

    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    escape(text, sizeof text, detail);
    int length = write_head(line, sizeof line, report, name, verdict);

    length += snprintf(line + length, sizeof line - (size_t)length,
                       "\"driver\": \"%s\", \"date\": \"%s\", \"seconds\": %.3f, "
                       "\"detail\": \"%s\"}\n",
                       report->driver, date, seconds, text);
    report->counts[verdict] += 1;
    (void)fwrite(line, 1, (size_t)length, stdout);
    (void)fflush(stdout);
    if (report->log >= 0 && write(report->log, line, (size_t)length) != length) {
        perror("the log");
        exit(EXIT_FAILURE);
    }
}

bool gpu_report_passed(const gpu_report *report, const char *log, const char *name) {
    char head[1024];
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *file = fopen(log, "r");

    if (file == NULL) {
        return false;
    }
    const int length = write_head(head, sizeof head, report, name, GPU_PASSED);

    while (!found && getline(&line, &room, file) > 0) {
        found = strncmp(line, head, (size_t)length) == 0;
    }
    free(line);
    (void)fclose(file);
    return found;
}
