/* run_results.c - what rows have chosen so far, and how eet-run prints it. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/run.h"

enum { FIRST_ROOM = 64 };

static const char *const finish_names[] = {NULL, "eos", "stop", "length", "cancelled"};

/* ---- keeping ------------------------------------------------------------ */

static bool grow_array(void **array, size_t count, size_t bytes) {
    void *grown = realloc(*array, count * bytes + 1);

    if (grown == NULL) {
        return false;
    }
    *array = grown;
    return true;
}

static bool grow(const eet_run *run, eet_run_result *row) {
    const size_t room = row->room > 0 ? 2 * (size_t)row->room : FIRST_ROOM;
    const size_t tops = room * (size_t)run->tops;

    if (!grow_array((void **)&row->ids, room, sizeof *row->ids) ||
        !grow_array((void **)&row->log_probs, room, sizeof *row->log_probs) ||
        !grow_array((void **)&row->top_ids, tops, sizeof *row->top_ids) ||
        !grow_array((void **)&row->top_log_probs, tops, sizeof *row->top_log_probs)) {
        return false;
    }
    row->room = (int32_t)room;
    return true;
}

eet_status eet_run_note(eet_run *run, const eet_generation *generation, const eet_event *event) {
    eet_run_result *row = &run->result[event->row];
    int32_t told = 0;

    row->finish = event->finish;
    if (event->finish == EET_FINISH_CANCELLED) {
        run->cancelled = true;
        return EET_OK;
    }
    if (row->count == row->room && !grow(run, row)) {
        return eet_run_no_memory(run);
    }
    row->ids[row->count] = event->token;
    row->log_probs[row->count] = event->log_prob;
    row->count += 1;
    if (run->tops == 0) {
        return EET_OK;
    }
    const size_t at = (size_t)(row->count - 1) * (size_t)run->tops;

    return eet_generate_top(generation, event, row->top_ids + at, row->top_log_probs + at,
                            run->tops, &told, run->err);
}

void eet_run_forget(eet_run *run) {
    for (int32_t i = 0; i < run->packed.room; ++i) {
        run->result[i].count = 0;
        run->result[i].finish = EET_FINISH_NONE;
        eet_json_free(run->beams[i]);
        run->beams[i] = NULL;
    }
}

void eet_run_free_results(eet_run *run) {
    for (int32_t i = 0; run->result != NULL && run->beams != NULL && i < run->packed.room; ++i) {
        free(run->result[i].ids);
        free(run->result[i].log_probs);
        free(run->result[i].top_ids);
        free(run->result[i].top_log_probs);
        eet_json_free(run->beams[i]);
    }
    free(run->result);
    free(run->beams);
    free(run->events);
    free(run->streams);
}

/* ---- printing ----------------------------------------------------------- */

eet_json *eet_run_pairs(const int32_t *ids, const float *log_probs, int32_t count) {
    eet_json *pairs = eet_json_array();

    for (int32_t i = 0; i < count; ++i) {
        eet_json *pair = eet_json_array();

        eet_json_append_integer(pair, ids[i]);
        eet_json_append_real(pair, (double)log_probs[i]);
        eet_json_append(pairs, pair);
    }
    return pairs;
}

/* The token of an event, which is the row's last; a cancelled row has none. */
static eet_json *event_line(const eet_run *run, const eet_event *event) {
    const eet_record *record = &run->packed.record[event->row];
    const eet_run_result *row = &run->result[event->row];
    const bool chosen = event->finish != EET_FINISH_CANCELLED;
    eet_json *line = eet_json_object();

    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(record, line);
    eet_json_set_integer(line, "row", record->number);
    if (chosen) {
        eet_json_set_integer(line, "token", event->token);
    } else {
        eet_json_set_string(line, "token", NULL);
    }
    eet_json_set_integer(line, "position", event->position);
    eet_json_set_real(line, "log_prob", chosen ? (double)event->log_prob : (double)NAN);
    if (chosen && run->tops > 0) {
        const size_t at = (size_t)(row->count - 1) * (size_t)run->tops;

        eet_json_set(line, "top",
                     eet_run_pairs(row->top_ids + at, row->top_log_probs + at, run->tops));
    }
    eet_json_set_string(line, "finish", finish_names[event->finish]);
    return line;
}

eet_status eet_run_stream(eet_run *run, const eet_event *event) {
    if (run->options->json) {
        const eet_status status = eet_json_write(event_line(run, event), stdout, true, run->err);

        if (status != EET_OK) {
            return status;
        }
    } else {
        if (event->finish != EET_FINISH_CANCELLED) {
            (void)printf(run->result[event->row].count > 1 ? ",%d" : "%d", (int)event->token);
        }
        if (event->finish != EET_FINISH_NONE) {
            (void)putchar('\n');
        }
    }
    if (fflush(stdout) != 0) {
        return eet_fail(run->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
    }
    return EET_OK;
}

static eet_status print_json(eet_run *run, int32_t index) {
    const eet_run_result *row = &run->result[index];
    eet_json *line = eet_json_object();
    eet_json *ids = eet_json_array();
    eet_json *log_probs = eet_json_array();
    eet_json *tops = eet_json_array();

    for (int32_t i = 0; i < row->count; ++i) {
        const size_t at = (size_t)i * (size_t)run->tops;

        eet_json_append_integer(ids, row->ids[i]);
        eet_json_append_real(log_probs, (double)row->log_probs[i]);
        eet_json_append(tops, run->tops > 0 ? eet_run_pairs(row->top_ids + at,
                                                            row->top_log_probs + at, run->tops)
                                            : eet_json_array());
    }
    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&run->packed.record[index], line);
    eet_json_set_integer(line, "row", run->packed.record[index].number);
    eet_json_set(line, "ids", ids);
    eet_json_set(line, "log_probs", log_probs);
    if (run->tops > 0) {
        eet_json_set(line, "top", tops);
    } else {
        eet_json_free(tops);
    }
    if (run->beams[index] != NULL) {
        eet_json_set(line, "beams", run->beams[index]);
        run->beams[index] = NULL;
    }
    eet_json_set_string(line, "finish", finish_names[row->finish]);
    return eet_json_write(line, stdout, true, run->err);
}

/* A line for each beam that is wanted, best first. */
static void print_beams(const eet_json *beams) {
    for (uint64_t b = 0; b < eet_json_length(beams); ++b) {
        const eet_json *ids = eet_json_get(eet_json_item(beams, b), "ids");

        for (uint64_t i = 0; i < eet_json_length(ids); ++i) {
            int64_t id = 0;

            (void)eet_json_as_integer(eet_json_item(ids, i), &id);
            (void)printf(i > 0 ? ",%d" : "%d", (int)id);
        }
        (void)putchar('\n');
    }
}

eet_status eet_run_print(eet_run *run) {
    eet_status status = EET_OK;

    for (int32_t i = 0; i < run->packed.rows && status == EET_OK && !run->options->stream; ++i) {
        const eet_run_result *row = &run->result[i];

        if (run->options->json) {
            status = print_json(run, i);
            continue;
        }
        if (run->beams[i] != NULL) {
            print_beams(run->beams[i]);
            continue;
        }
        for (int32_t j = 0; j < row->count; ++j) {
            (void)printf(j > 0 ? ",%d" : "%d", (int)row->ids[j]);
        }
        (void)putchar('\n');
    }
    return status;
}
