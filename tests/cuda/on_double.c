/* on_double.c - see on_double.h. */
#include "tests/cuda/on_double.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

void *symbol_of(const char *library, const char *name) {
    void *opened = dlopen(library, RTLD_NOW);
    void *symbol = opened != NULL ? dlsym(opened, name) : NULL;

    ck_assert_msg(symbol != NULL, "%s: %s", library, dlerror());
    return symbol;
}

const eet_backend_api *entry(void) {
    void *symbol = symbol_of(EET_DOUBLE, "eet_backend_entry");
    eet_backend_entry_fn get = NULL;

    memcpy(&get, &symbol, sizeof get);
    return get();
}

eet_double *device(void) {
    void *symbol = symbol_of(EET_DOUBLE, "eet_double_get");
    eet_double_get_fn get = NULL;

    memcpy(&get, &symbol, sizeof get);
    ck_assert_int_eq(setenv("EET_BACKEND_PATH", EET_DOUBLE, 1), 0);
    return get();
}

eet_status draw_tokens(eet_session *session, const eet_batch *prompt, uint64_t seed, int32_t steps,
                       int32_t room, int32_t *tokens, float *log_probs, eet_error *err) {
    enum { MOST = 64 };
    const eet_generate_options drawn = {.size = sizeof drawn,
                                        .max_new_tokens = steps,
                                        .ignore_eos = 1,
                                        .temperature = 0.8,
                                        .repetition_penalty = 1.2,
                                        .seed = seed};
    eet_generation *generation = NULL;
    eet_event event[MOST];
    eet_status status = eet_generate_begin(session, prompt, &drawn, &generation, err);
    int32_t count = 1;

    for (int32_t made = 0; status == EET_OK && count > 0; made += count) {
        status = eet_generate_next(generation, event, room < MOST ? room : MOST, &count, err);
        for (int32_t i = 0; status == EET_OK && i < count; ++i) {
            tokens[made + i] = event[i].token;
            if (log_probs != NULL) {
                log_probs[made + i] = event[i].log_prob;
            }
        }
    }
    eet_generate_end(generation);
    return status;
}

eet_tmp sample(void) {
    const eet_tmp path = eet_tmp_path("model.eet");
    const eet_sample_model model = eet_sample_decoder();

    eet_sample_write(path.path, &model);
    return path;
}
