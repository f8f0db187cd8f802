/* run_generate.c - eet-run's rows through a generation. */
#include <stddef.h>
#include <string.h>

#include "engine/commands/run.h"

enum { DEFAULT_NEW = 64 };

int32_t eet_run_beams(const eet_run_options *o) {
    return o->beams > 1 ? (int32_t)o->beams : 1;
}

static int32_t early_stopping_of(const eet_run_options *o) {
    if (o->early_stopping == NULL || strcmp(o->early_stopping, "heuristic") == 0) {
        return EET_BEAMS_HEURISTIC;
    }
    return strcmp(o->early_stopping, "first") == 0 ? EET_BEAMS_FIRST : EET_BEAMS_NEVER;
}

/* What the command line asks for; each row has the random numbers of its own number. */
static eet_generate_options options_of(eet_run *run) {
    const eet_run_options *o = run->options;

    for (int32_t i = 0; i < run->packed.rows; ++i) {
        run->streams[i] = (uint64_t)run->packed.record[i].number - 1;
    }
    return (eet_generate_options){
        .size = sizeof(eet_generate_options),
        .max_new_tokens = o->max_new_tokens > 0 ? (int32_t)o->max_new_tokens : DEFAULT_NEW,
        .ignore_eos = o->ignore_eos ? 1 : 0,
        .stop_count = run->stops,
        .top_k = (int32_t)o->top_k,
        .stop = run->stop,
        .temperature = o->temperature,
        .top_p = o->top_p < 1 ? o->top_p : 0, /* a search takes the default alone */
        .repetition_penalty = o->repetition_penalty,
        .min_new_tokens = (int32_t)o->min_new_tokens,
        .beams = (int32_t)o->beams,
        .seed = (uint64_t)o->seed,
        .stream = run->streams,
        .length_penalty = o->length_penalty != 0 ? o->length_penalty : EET_LENGTH_PENALTY_NONE,
        .early_stopping = early_stopping_of(o),
        .top_n = run->tops,
    };
}

static eet_status take_events(eet_run *run, eet_generation *generation) {
    int32_t count = 0;
    bool first = true;

    do {
        const double before = eet_run_now();
        eet_status status =
            eet_generate_next(generation, run->events, run->packed.room, &count, run->err);

        run->next_seconds += eet_run_now() - before;
        run->first_tokens += first ? count : 0;
        run->next_tokens += first ? 0 : count;
        first = false;
        for (int32_t i = 0; i < count && status == EET_OK; ++i) {
            status = eet_run_note(run, generation, &run->events[i]);
            if (status == EET_OK && run->options->stream) {
                status = eet_run_stream(run, &run->events[i]);
            }
        }
        if (status != EET_OK) {
            return status;
        }
    } while (count > 0);
    return EET_OK;
}

static const char *finish_name(int32_t finish) {
    static const char *const names[] = {NULL, "eos", "stop", "length", "cancelled"};

    return names[finish];
}

static eet_json *beam_of(const eet_beam *beam) {
    eet_json *object = eet_json_object();
    eet_json *ids = eet_json_array();
    eet_json *log_probs = eet_json_array();

    for (int32_t i = 0; i < beam->count; ++i) {
        eet_json_append_integer(ids, beam->tokens[i]);
        eet_json_append_real(log_probs, (double)beam->log_probs[i]);
    }
    eet_json_set(object, "ids", ids);
    eet_json_set(object, "log_probs", log_probs);
    eet_json_set_real(object, "score", beam->score);
    eet_json_set_string(object, "finish", finish_name(beam->finish));
    return object;
}

/* The beams that are wanted of each row, or all when there are fewer texts. */
static eet_status take_beams(eet_run *run, const eet_generation *generation) {
    const int32_t wanted = run->options->returned > 0 ? (int32_t)run->options->returned : 1;
    eet_status status = EET_OK;

    for (int32_t row = 0; row < run->packed.rows && status == EET_OK; ++row) {
        run->beams[row] = eet_json_array();
        for (int32_t i = 0; i < wanted && status == EET_OK; ++i) {
            eet_beam beam = {.size = sizeof beam};

            status = eet_generate_beam(generation, row, i, &beam, run->err);
            if (status == EET_OK) {
                eet_json_append(run->beams[row], beam_of(&beam));
            }
        }
        if (status == EET_E_ARGUMENT) {
            eet_error_clear(run->err);
            status = EET_OK;
        }
        if (status == EET_OK) {
            status = eet_json_check(run->beams[row], run->err);
        }
    }
    return status;
}

eet_status eet_run_generate(eet_run *run) {
    const eet_generate_options wanted = options_of(run);
    eet_generation *generation = NULL;
    const double before = eet_run_now();
    eet_status status =
        eet_generate_begin(run->session, &run->packed.batch, &wanted, &generation, run->err);

    if (status != EET_OK) {
        return status;
    }
    run->prompt_seconds += eet_run_now() - before;
    run->prompt_tokens += eet_packed_tokens(&run->packed);
    status = take_events(run, generation);
    if (status == EET_OK && eet_run_beams(run->options) > 1) {
        status = take_beams(run, generation);
    }
    eet_generate_end(generation);
    for (int32_t i = 0; i < run->packed.rows && status == EET_OK; ++i) {
        status = eet_sequence_trim(run->session, i, 0, run->err);
    }
    return status;
}
