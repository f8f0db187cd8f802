/* run_score.c - eet-run --score: how likely rows are, token after token. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/commands/run.h"

/* Room for what eet_score tells of all rows. */
typedef struct score_room {
    float *log_prob;
    int32_t *top_ids;
    float *top_log_probs;
} score_room;

static bool make_room(score_room *room, int32_t tokens, int32_t tops) {
    const size_t top = (size_t)tokens * (size_t)tops + 1;

    room->log_prob = calloc((size_t)tokens, sizeof *room->log_prob);
    room->top_ids = calloc(top, sizeof *room->top_ids);
    room->top_log_probs = calloc(top, sizeof *room->top_log_probs);
    return room->log_prob != NULL && room->top_ids != NULL && room->top_log_probs != NULL;
}

/* A row's tokens but the first, which follows nothing. */
static eet_status print_json(eet_run *run, int32_t index, const score_room *room, double sum) {
    const int32_t start = run->packed.start[index];
    const int32_t count = run->packed.start[index + 1] - start;
    eet_json *line = eet_json_object();
    eet_json *log_probs = eet_json_array();
    eet_json *tops = eet_json_array();

    eet_json_append_real(log_probs, (double)NAN);
    eet_json_append_real(tops, (double)NAN);
    for (int32_t i = start; i < start + count - 1; ++i) {
        const size_t at = (size_t)i * (size_t)run->tops;

        eet_json_append_real(log_probs, (double)room->log_prob[i]);
        eet_json_append(tops,
                        eet_run_pairs(room->top_ids + at, room->top_log_probs + at, run->tops));
    }
    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&run->packed.record[index], line);
    eet_json_set_integer(line, "row", run->packed.record[index].number);
    eet_json_set_integer(line, "tokens", count - 1);
    eet_json_set_real(line, "log_prob", sum);
    eet_json_set(line, "log_probs", log_probs);
    if (run->tops > 0) {
        eet_json_set(line, "top", tops);
    } else {
        eet_json_free(tops);
    }
    return eet_json_write(line, stdout, true, run->err);
}

static eet_status print_scores(eet_run *run, const score_room *room) {
    eet_status status = EET_OK;

    for (int32_t row = 0; row < run->packed.rows && status == EET_OK; ++row) {
        double sum = 0.0;

        for (int32_t i = run->packed.start[row]; i < run->packed.start[row + 1] - 1; ++i) {
            sum += (double)room->log_prob[i];
        }
        if (run->options->json) {
            status = print_json(run, row, room, sum);
        } else {
            (void)printf("%.9g\n", sum);
        }
    }
    return status;
}

eet_status eet_run_score(eet_run *run) {
    const int32_t tokens = eet_packed_tokens(&run->packed);
    score_room room = {0};
    eet_status status = make_room(&room, tokens, run->tops) ? EET_OK : eet_run_no_memory(run);
    const eet_scores wanted = {.size = sizeof wanted,
                               .top = run->tops,
                               .log_prob = room.log_prob,
                               .top_token = room.top_ids,
                               .top_log_prob = room.top_log_probs};
    const double before = eet_run_now();

    if (status == EET_OK) {
        status = eet_score(run->session, &run->packed.batch, NULL, &wanted, run->err);
    }
    run->prompt_seconds += eet_run_now() - before;
    run->prompt_tokens += tokens;
    for (int32_t i = 0; i < run->packed.rows && status == EET_OK; ++i) {
        status = eet_sequence_trim(run->session, i, 0, run->err);
    }
    if (status == EET_OK) {
        status = print_scores(run, &room);
    }
    free(room.log_prob);
    free(room.top_ids);
    free(room.top_log_probs);
    return status;
}
