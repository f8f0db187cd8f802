/* encode_results.c - eet-encode: the vectors of a call, as JSON Lines or rows of a .npy file. */
#include <math.h>
#include <stdio.h>

#include "engine/commands/encode.h"

static void normalize(float *values, int64_t rows, int32_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        float *row = values + r * width;
        double sum = 0.0;

        for (int32_t i = 0; i < width; ++i) {
            sum += (double)row[i] * (double)row[i];
        }
        const double length = fmax(sqrt(sum), 1e-12);

        for (int32_t i = 0; i < width; ++i) {
            row[i] = (float)((double)row[i] / length);
        }
    }
}

static eet_json *vector_of(const float *values, int32_t width) {
    eet_json *vector = eet_json_array();

    for (int32_t i = 0; i < width; ++i) {
        eet_json_append_real(vector, (double)values[i]);
    }
    return vector;
}

/* What an output has for a row: a vector, or a list of them, one a token. `at` is where
 * the row's given tokens begin. */
static eet_json *values_of(const eet_encoding *e, const eet_encoding_output *output, int32_t row,
                           int64_t at) {
    const eet_record *record = &e->packed.record[row];
    const int32_t take = output->take;
    const bool is_list = take == EET_TAKE_EVERY || (take == EET_TAKE_GIVEN && record->at_listed);
    int64_t first = row;
    int64_t end = row + 1;

    if (take == EET_TAKE_EVERY) {
        first = e->packed.start[row];
        end = e->packed.start[row + 1];
    } else if (take == EET_TAKE_GIVEN) {
        first = at;
        end = at + record->at_count;
    }
    if (!is_list) {
        return vector_of(output->values + first * output->width, output->width);
    }
    eet_json *list = eet_json_array();

    for (int64_t i = first; i < end; ++i) {
        eet_json_append(list, vector_of(output->values + i * output->width, output->width));
    }
    return list;
}

static eet_status print_row(const eet_encoding *e, int32_t row, int64_t at) {
    eet_json *line = eet_json_object();

    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&e->packed.record[row], line);
    if (e->outputs == 1) {
        eet_json_set(line, e->key, values_of(e, &e->output[0], row, at));
    } else {
        eet_json *all = eet_json_object();

        for (int32_t i = 0; i < e->outputs; ++i) {
            eet_json_set(all, e->output[i].name, values_of(e, &e->output[i], row, at));
        }
        eet_json_set(line, e->key, all);
    }
    return eet_json_write(line, stdout, true, e->err);
}

eet_status eet_encoding_print(eet_encoding *e) {
    eet_status status = EET_OK;
    int64_t at = 0;

    for (int32_t i = 0; e->options->normalize && i < e->outputs; ++i) {
        normalize(e->output[i].values, e->output[i].rows, e->output[i].width);
    }
    if (e->npy != NULL) {
        return eet_npy_append(e->npy, e->output[0].values, e->output[0].rows, e->err);
    }
    for (int32_t r = 0; r < e->packed.rows && status == EET_OK; ++r) {
        status = print_row(e, r, at);
        at += e->packed.record[r].at_count;
    }
    return status;
}
