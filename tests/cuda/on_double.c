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

eet_tmp sample(void) {
    const eet_tmp path = eet_tmp_path("model.eet");
    const eet_sample_model model = eet_sample_decoder();

    eet_sample_write(path.path, &model);
    return path;
}
